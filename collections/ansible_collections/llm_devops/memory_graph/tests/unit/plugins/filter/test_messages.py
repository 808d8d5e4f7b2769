# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Lines for people about a deployment, a plan and a drift."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.filter.deployment_messages import (
    deployment_summary,
    teardown_summary,
)
from ansible_collections.llm_devops.memory_graph.plugins.filter.diff_messages import diff_messages, diff_reports
from ansible_collections.llm_devops.memory_graph.plugins.filter.drift_messages import drift_messages, drift_reports
from ansible_collections.llm_devops.memory_graph.tests.unit.plugins.filter.roles_of_the_collection import arguments

EN_DASH = "\N{EN DASH}"
FORWARD = "kubectl -n llm-memory-graph port-forward svc/memory-graph-internal 50051"
BROKERS = {"memory_graph_store": "neo4j", "memory_graph_kafka_bootstrap_servers": ["kafka:9092"]}


def summary(groups: list[str] | None = None, scales_on_lag: bool = False, **variables: Any) -> list[str]:
    return deployment_summary(arguments("memory_graph", **variables), groups or [], scales_on_lag)


def test_one_pod_behind_a_load_balancer() -> None:
    assert summary() == [
        "deployed    memory-graph:0.1.0, 1 pod, 100Gi in PersistentVolumeClaim memory-graph-data",
        "note        the embedded store has one writer: no HorizontalPodAutoscaler and no PodDisruptionBudget",
        (
            "note        the NetworkPolicy lets nobody in from outside the cluster: memory_graph_client_cidrs names who"
            " may"
        ),
        "",
        f"gRPC        {FORWARD}",
        "            kubectl -n llm-memory-graph get service memory-graph shows the address of the load balancer",
    ]


def test_an_endpoint_and_clients_that_may_call() -> None:
    lines = summary(memory_graph_endpoint="127.0.0.1:50051", memory_graph_client_cidrs=["0.0.0.0/0"])
    assert lines[2:] == ["", f"gRPC        127.0.0.1:50051     ({FORWARD})"]


@pytest.mark.parametrize(
    ("replicas", "pods"),
    [((3, 10), f"3{EN_DASH}10 pods"), ((1, 1), "1 pod"), ((2, 2), "2 pods"), ((1, 2), f"1{EN_DASH}2 pods")],
)
def test_pods_over_a_database(replicas: tuple[int, int], pods: str) -> None:
    replicas_and_max = {"memory_graph_replicas": replicas[0], "memory_graph_replicas_max": replicas[1]}
    lines = summary(memory_graph_store="neo4j", **replicas_and_max)
    assert lines[0] == f"deployed    memory-graph:0.1.0, {pods} over bolt://neo4j:7687"
    alone = "note        one pod: no PodDisruptionBudget, so a drained node interrupts the service"
    assert (alone in lines) == (replicas[0] == 1)


@pytest.mark.parametrize(
    ("groups", "external_metrics", "reason"),
    [
        ([], "auto", "nothing serves external.metrics.k8s.io (prometheus-adapter does)"),
        (["keda.sh"], "auto", "KEDA serves external metrics to the autoscalers it makes, and none to this one"),
        (["keda.sh"], "never", "memory_graph_external_metrics is never"),
    ],
)
def test_why_workers_do_not_scale_on_lag(groups: list[str], external_metrics: str, reason: str) -> None:
    lines = summary(groups, memory_graph_external_metrics=external_metrics, **BROKERS)
    topics = "llm-telemetry-events, llm.prompts.v1, llm.responses.v1, llm.sessions.v1"
    assert lines[1] == f"workers     2{EN_DASH}15 on {topics} of kafka:9092"
    assert f"note        workers scale on CPU and memory and not on lag: {reason}" in lines


def test_workers_that_scale_on_lag_and_one_worker() -> None:
    assert not [line for line in summary(scales_on_lag=True, **BROKERS) if "lag" in line]
    lines = summary(memory_graph_worker_replicas=1, memory_graph_worker_replicas_max=1, **BROKERS)
    assert "note        one worker: no PodDisruptionBudget, so a drained node interrupts the ingestion" in lines
    assert not [line for line in lines if "lag" in line]


def test_what_a_teardown_keeps() -> None:
    assert teardown_summary(arguments("memory_graph")) == (
        "kept        namespace llm-memory-graph and PersistentVolumeClaim memory-graph-data: the next deployment finds"
        " its data (memory_graph_teardown_delete_data=true deletes both)"
    )
    assert teardown_summary(arguments("memory_graph", memory_graph_store="neo4j")) == (
        "kept        namespace llm-memory-graph, and the graph in bolt://neo4j:7687: the next deployment finds it"
    )


PLAN = {
    "summary": {"unchanged": 1},
    "changes": [
        {"action": "created", "kind": "Service", "name": "graph", "lines": ["created"]},
        {"action": "configured", "kind": "ConfigMap", "name": "a", "lines": ["data.A: 1 → 2", "data.B: 1 → 2"]},
        {"action": "pruned", "kind": "Secret", "name": "b", "lines": ["pruned"]},
    ],
}


def test_a_plan_is_a_line_for_each_field() -> None:
    assert diff_messages(PLAN) == [
        "+ Service/graph  created",
        "~ ConfigMap/a    data.A: 1 → 2",
        "                 data.B: 1 → 2",
        "- Secret/b       pruned",
        "3 objects differ; 1 is as it should be. Nothing was changed.",
    ]


def test_a_plan_without_changes_of_one_of_several_clusters() -> None:
    plan = {"summary": {"unchanged": 12}, "changes": []}
    assert diff_messages(plan, "eu") == ["eu  0 objects differ; 12 are as they should be. Nothing was changed."]
    single = {"summary": {"unchanged": 0}, "changes": PLAN["changes"][:1]}
    assert diff_messages(single, "eu") == [
        "eu  + Service/graph  created",
        "eu  1 object differs; 0 are as they should be. Nothing was changed.",
    ]


def test_plans_of_the_clusters_that_were_asked() -> None:
    hostvars = {"eu": {"plan": PLAN}, "us": {}}
    assert diff_reports(["eu", "us"], hostvars, "plan") == {"eu": PLAN["changes"]}


IN_SYNC = {"revision": 3, "state": "deployed", "drift_unknown": "", "drift": [], "orphans": []}


def test_drift() -> None:
    drifted = {
        "state": "pending",
        "drift_unknown": "nothing is known of it",
        "drift": [{"text": "ConfigMap/a  data.A: 1 → 2"}],
        "orphans": [{"kind": "Secret", "name": "b"}],
    }
    assert drift_messages(IN_SYNC) == ["no drift"]
    assert drift_messages(IN_SYNC | drifted) == [
        "nothing is known of it",
        "revision 3 is pending: a deployment is at work, or was cut off",
        "ConfigMap/a  data.A: 1 → 2",
        "Secret/b  carries the label of the release and is not in its record",
    ]


def test_drift_of_the_clusters_that_were_asked() -> None:
    report = {"revision": 3, "state": "deployed", "unknown": "", "drift": [], "orphans": []}
    assert drift_reports(["eu", "us"], {"eu": {"info": IN_SYNC}, "us": {}}, "info") == {"eu": report}
