"""Workers follow the lag: Kafka → their metric → Prometheus → prometheus-adapter → HorizontalPodAutoscaler."""

from __future__ import annotations

import textwrap
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ApiError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._quantity import parse

from .conftest import NAMESPACE, ROOT, WORKER, ProductionRelease, count_stored, output_of, wait_until

METRIC = "llm_memory_graph_kafka_lag_messages"
RULES = Path(__file__).parents[1] / "monitoring/adapter-rules.yaml"
RECORDS_PER_WORKER = 10_000
"""The target of the autoscaler: the lag per worker above which it adds one."""


def lag(release: ProductionRelease) -> int | None:
    """Return the lag that the metrics API serves to the autoscaler; None until Prometheus and the adapter have one."""
    path = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{NAMESPACE}/{METRIC}"
    try:
        metric = release.cluster.request("GET", path)
    except ApiError:
        return None
    values = [int(parse(item["value"])) for item in metric["items"]]
    return sum(values) if values else None


def autoscaler(release: ProductionRelease) -> dict[str, Any]:
    scaler = release.find("horizontalpodautoscalers", WORKER, "apis/autoscaling/v2")
    assert scaler
    return scaler


def reported_lag(release: ProductionRelease) -> float:
    """Return the lag in the status of the autoscaler, which holds an average for each worker."""
    status = autoscaler(release)["status"]
    metrics = [metric["external"] for metric in status["currentMetrics"] if "external" in metric]
    return float(sum(parse(metric["current"]["averageValue"]) for metric in metrics)) * status["currentReplicas"]


def rescaled_for_lag(release: ProductionRelease) -> list[str]:
    events = release.cluster.list(f"/api/v1/namespaces/{NAMESPACE}/events", fields="reason=SuccessfulRescale")
    messages = [event["message"] for event in events if event["involvedObject"]["name"] == WORKER]
    return [message for message in messages if METRIC in message]


@pytest.fixture
def without_database(release: ProductionRelease) -> Iterator[None]:
    """Scale the database to zero, and back afterwards: no event is stored meanwhile."""
    scale(release, 0)
    wait_until(lambda: release.find("pods", "neo4j-0") is None)  # a pod that terminates still stores
    yield
    scale(release, 1)


def scale(release: ProductionRelease, replicas: int) -> None:
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/neo4j/scale"
    release.cluster.request("PATCH", path, None, {"spec": {"replicas": replicas}}, "application/merge-patch+json")


def test_the_autoscaler_asks_for_the_lag_and_prometheus_may_come_for_it(release: ProductionRelease) -> None:
    metrics = autoscaler(release)["spec"]["metrics"]
    (external,) = [metric["external"] for metric in metrics if metric["type"] == "External"]
    assert external == {"metric": {"name": METRIC}, "target": {"type": "AverageValue", "averageValue": "10k"}}
    policy = release.find("networkpolicies", WORKER, "apis/networking.k8s.io/v1")
    assert policy
    (rule,) = policy["spec"]["ingress"]
    assert [port["port"] for port in rule["ports"]] == [9090]
    labels = [peer["namespaceSelector"]["matchLabels"] for peer in rule["from"]]
    assert labels == [{"kubernetes.io/metadata.name": "monitoring"}]


def test_the_rule_is_the_one_that_is_documented() -> None:
    assert textwrap.indent(RULES.read_text(), " " * 7) in (ROOT / "docs/how-to/deploy-to-production.md").read_text()


@pytest.mark.timeout(1800)  # a whole deployment is in it
def test_workers_are_added_for_what_waits_and_it_is_stored_once(release: ProductionRelease, graph, request) -> None:
    wait_until(lambda: lag(release) == 0)
    run, sender = uuid.uuid4().hex, release.wait_for_ready(1, WORKER)[0]
    request.getfixturevalue("without_database")
    before = autoscaler(release)["status"]["desiredReplicas"]  # above the minimum where starting has cost much CPU
    backlog = before * RECORDS_PER_WORKER + RECORDS_PER_WORKER // 2
    assert output_of(release.produce(sender, run, backlog, 10_000)) == str(backlog)
    wait_until(lambda: lag(release) == backlog)  # each record is counted once, whichever worker has its partition
    wait_until(lambda: autoscaler(release)["status"]["desiredReplicas"] > before)
    wait_until(lambda: bool(rescaled_for_lag(release)))
    # less while partitions go to the new worker
    wait_until(lambda: reported_lag(release) == pytest.approx(backlog, abs=1))
    wait_until(lambda: len(release.pods(WORKER)) > before)

    deployed_again = release.run_playbook("deploy")
    assert deployed_again.returncode == 0, deployed_again.stdout
    assert "not on lag" not in deployed_again.stdout
    wait_until(lambda: len(release.ready_pods(WORKER)) > before)  # what the autoscaler did is not taken back
    wait_until(lambda: count_stored(graph, run) == backlog)
    wait_until(lambda: lag(release) == 0)
    assert count_stored(graph, run) == backlog
