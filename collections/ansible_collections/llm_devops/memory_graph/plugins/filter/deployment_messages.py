# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.
"""Filters: what people are told when a memory graph was deployed, or taken away."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Arguments = Mapping[str, Any]


def deployment_summary(arguments: Arguments, api_groups: list[str], scales_on_lag: bool) -> list[str]:
    """Return lines that say what was deployed and where it answers.

    :param api_groups: the API groups that the cluster serves, where it was asked.
    :param scales_on_lag: whether the autoscaler of the workers reads the lag of their consumer group.
    """
    workers = _workers(arguments, api_groups, scales_on_lag)
    return [*_deployed(arguments), *workers, *_unreachable(arguments), "", *_addresses(arguments)]


def _deployed(of: Arguments) -> Iterator[str]:
    if of["store"] == "embedded":
        yield f"deployed    {of['image']}, 1 pod, {of['storage_size']} in PersistentVolumeClaim {of['name']}-data"
    else:
        replicas, max_replicas = of["replicas"], of["replicas_max"]
        pods = f"{_range(replicas, max_replicas)} {'pods' if max(replicas, max_replicas) > 1 else 'pod'}"
        yield f"deployed    {of['image']}, {pods} over {of['neo4j_uri']}"


def _workers(of: Arguments, api_groups: list[str], scales_on_lag: bool) -> Iterator[str]:
    has_workers, embedded = bool(of["kafka_bootstrap_servers"]), of["store"] == "embedded"
    replicas, max_replicas = of["worker_replicas"], of["worker_replicas_max"]
    if has_workers:
        topics, brokers = ", ".join(of["kafka_topics"]), ", ".join(of["kafka_bootstrap_servers"])
        yield f"workers     {_range(replicas, max_replicas)} on {topics} of {brokers}"
    if embedded:
        yield "note        the embedded store has one writer: no HorizontalPodAutoscaler and no PodDisruptionBudget"
    elif of["replicas"] == 1:
        yield "note        one pod: no PodDisruptionBudget, so a drained node interrupts the service"
    if has_workers and replicas == 1:
        yield "note        one worker: no PodDisruptionBudget, so a drained node interrupts the ingestion"
    if has_workers and max_replicas > replicas and not scales_on_lag:
        reason = _why_not_on_lag(of, api_groups)
        yield f"note        workers scale on CPU and memory and not on lag: {reason}"


def _range(replicas: int, max_replicas: int) -> str:
    return f"{replicas}\N{EN DASH}{max_replicas}" if max_replicas > replicas else str(replicas)


def _why_not_on_lag(of: Arguments, api_groups: list[str]) -> str:
    if of["external_metrics"] == "never":
        return "memory_graph_external_metrics is never"
    if "keda.sh" in api_groups:
        return "KEDA serves external metrics to the autoscalers it makes, and none to this one"
    return "nothing serves external.metrics.k8s.io (prometheus-adapter does)"


def _unreachable(of: Arguments) -> Iterator[str]:
    if of["network_policy"] and of["service_type"] != "ClusterIP" and not of["client_cidrs"]:
        yield (
            "note        the NetworkPolicy lets nobody in from outside the cluster: memory_graph_client_cidrs names who"
            " may"
        )


def _addresses(of: Arguments) -> Iterator[str]:
    port_forward = f"kubectl -n {of['namespace']} port-forward svc/{of['name']}-internal 50051"
    if of["endpoint"]:
        yield f"gRPC        {of['endpoint']}     ({port_forward})"
        return
    yield f"gRPC        {port_forward}"
    if of["service_type"] == "LoadBalancer":
        service = f"kubectl -n {of['namespace']} get service {of['name']}"
        yield f"            {service} shows the address of the load balancer"


def teardown_summary(arguments: Arguments) -> str:
    """Return the line that says what a teardown without the data keeps."""
    line = f"kept        namespace {arguments['namespace']}"
    if arguments["store"] == "embedded":
        return (
            f"{line} and PersistentVolumeClaim {arguments['name']}-data: the next deployment finds its data"
            " (memory_graph_teardown_delete_data=true deletes both)"
        )
    return f"{line}, and the graph in {arguments['neo4j_uri']}: the next deployment finds it"


class FilterModule:
    """The filters by their names."""

    def filters(self) -> dict[str, Callable[..., object]]:
        return {"deployment_summary": deployment_summary, "teardown_summary": teardown_summary}
