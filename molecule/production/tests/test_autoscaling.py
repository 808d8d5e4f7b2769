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

from .conftest import NAMESPACE, ROOT, WORKER, Release, answer, awaited, stored

METRIC = "llm_memory_graph_kafka_lag_messages"
RULES = Path(__file__).parents[1] / "monitoring/adapter-rules.yaml"
A_WORKER = 10_000
"""Records that one worker is to have waiting, at the most."""


def lag(release: Release) -> int | None:
    """What the autoscaler is told; None until Prometheus and the adapter have a figure."""
    try:
        told = release.cluster.request("GET", f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{NAMESPACE}/{METRIC}")
    except ApiError:
        return None
    values = [int(parse(one["value"])) for one in told["items"]]
    return sum(values) if values else None


def scaler(release: Release) -> dict[str, Any]:
    found = release.found("horizontalpodautoscalers", WORKER, "apis/autoscaling/v2")
    assert found
    return found


def seen(release: Release) -> float:
    """Records that wait, as the autoscaler has them in its status: so many a worker, for so many workers."""
    status = scaler(release)["status"]
    a_worker = [one["external"]["current"]["averageValue"] for one in status["currentMetrics"] if "external" in one]
    return float(sum(parse(one) for one in a_worker)) * status["currentReplicas"]


def rescaled_for_lag(release: Release) -> list[str]:
    events = release.cluster.list(f"/api/v1/namespaces/{NAMESPACE}/events", fields="reason=SuccessfulRescale")
    return [one["message"] for one in events if one["involvedObject"]["name"] == WORKER and METRIC in one["message"]]


@pytest.fixture
def without_database(release: Release) -> Iterator[None]:
    """Nobody stores anything meanwhile."""
    scale(release, 0)
    awaited(lambda: release.found("pods", "neo4j-0") is None)  # one that is going still stores
    yield
    scale(release, 1)


def scale(release: Release, replicas: int) -> None:
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/neo4j/scale"
    release.cluster.request("PATCH", path, None, {"spec": {"replicas": replicas}}, "application/merge-patch+json")


def test_the_autoscaler_asks_for_the_lag_and_prometheus_may_come_for_it(release: Release) -> None:
    (external,) = [one["external"] for one in scaler(release)["spec"]["metrics"] if one["type"] == "External"]
    assert external == {"metric": {"name": METRIC}, "target": {"type": "AverageValue", "averageValue": "10k"}}
    policy = release.found("networkpolicies", WORKER, "apis/networking.k8s.io/v1")
    assert policy
    (rule,) = policy["spec"]["ingress"]
    assert [one["port"] for one in rule["ports"]] == [9090]
    labels = [one["namespaceSelector"]["matchLabels"] for one in rule["from"]]
    assert labels == [{"kubernetes.io/metadata.name": "monitoring"}]


def test_the_rule_is_the_one_that_is_documented() -> None:
    assert textwrap.indent(RULES.read_text(), " " * 7) in (ROOT / "docs/how-to/deploy-to-production.md").read_text()


@pytest.mark.timeout(1800)  # a whole deployment is in it
def test_workers_are_added_for_what_waits_and_it_is_stored_once(release: Release, graph, request) -> None:
    awaited(lambda: lag(release) == 0)
    run, sender = uuid.uuid4().hex, release.at_least(1, WORKER)[0]
    request.getfixturevalue("without_database")
    before = scaler(release)["status"]["desiredReplicas"]  # more than the least where starting has cost much CPU
    backlog = before * A_WORKER + A_WORKER // 2
    assert answer(release.produce(sender, run, backlog, 10_000)) == str(backlog)
    awaited(lambda: lag(release) == backlog)  # each record is counted once, whichever worker has its partition
    awaited(lambda: scaler(release)["status"]["desiredReplicas"] > before)
    awaited(lambda: bool(rescaled_for_lag(release)))
    awaited(lambda: seen(release) == pytest.approx(backlog, abs=1))  # less while partitions go to the new worker
    awaited(lambda: len(release.pods(WORKER)) > before)

    brought_back = release.play("deploy")
    assert brought_back.returncode == 0, brought_back.stdout
    assert "not on lag" not in brought_back.stdout
    awaited(lambda: len(release.ready(WORKER)) > before)  # what the autoscaler did is not taken back
    awaited(lambda: stored(graph, run) == backlog)
    awaited(lambda: lag(release) == 0)
    assert stored(graph, run) == backlog
