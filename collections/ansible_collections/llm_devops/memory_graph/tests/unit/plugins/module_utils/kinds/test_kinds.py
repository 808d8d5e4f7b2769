# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The rows of the table of kinds, with objects that a Kubernetes 1.34 API server showed, and with made ones."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.kinds._kinds import (
    KINDS,
    WORKLOADS,
    judge,
    kind_of,
    row,
)
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.kinds._verdict import UNSEEN
from ansible_collections.llm_devops.memory_graph.tests.unit.plugins.module_utils.kinds.statuses import (
    conditions,
    custom,
)

RECORDED = {
    (obj["kind"], obj["metadata"]["name"]): obj
    for obj in map(json.loads, (Path(__file__).parent / "data" / "recorded.jsonl").read_text().splitlines())
}
PROVEN = {
    ("Deployment", "web"): ("ready", "1/1 ready"),
    ("Deployment", "paused"): ("ready", "0/1 ready, paused"),
    ("Deployment", "late"): (
        "failed",
        'ProgressDeadlineExceeded: ReplicaSet "late-667d4b847c" has timed out progressing.',
    ),
    ("ReplicaSet", "web-6658797cb9"): ("ready", "1/1 ready"),
    ("ReplicaSet", "late-667d4b847c"): ("progressing", "0/1 ready"),
    ("StatefulSet", "partitioned"): ("ready", "2/2 ready, 1/1 updated (partition 1)"),
    ("StatefulSet", "on-delete"): ("ready", "1/1 ready, 1 updated when deleted"),
    ("DaemonSet", "on-delete"): ("ready", "1/1 ready, 1 updated when deleted"),
    ("Job", "failing"): ("failed", "BackoffLimitExceeded: Job has reached the specified backoff limit"),
    ("Job", "complete"): ("ready", "complete"),
    ("Job", "suspended"): ("ready", "suspended"),
    ("CronJob", "nightly"): ("ready", ""),
    ("Pod", "failed"): ("failed", "the pod failed"),
    ("Pod", "complete-r8rnk"): ("ready", "succeeded"),
    ("Pod", "late-667d4b847c-ql8zj"): ("progressing", "not ready"),
    ("PodDisruptionBudget", "web"): ("ready", ""),
    ("APIService", "v1.demo.example.dev"): (
        "failed",
        'ServiceNotFound: service/no-such in "demo" is not present',
    ),
    ("APIService", "v1beta1.metrics.k8s.io"): ("ready", "available"),
    ("PersistentVolumeClaim", "first-consumer"): ("progressing", "pending"),
    ("Ingress", "web"): ("ready", ""),
    ("Service", "balanced"): ("progressing", "no load balancer address yet: not seen by its controller yet"),
    ("Namespace", "default"): ("ready", "active"),
}


@pytest.mark.parametrize("identity", PROVEN, ids="/".join)
def test_recorded(identity):
    assert judge(RECORDED[identity]) == PROVEN[identity]


def test_an_autoscaler_without_metrics_yet_is_ready_and_says_so():
    state, reason = judge(RECORDED["HorizontalPodAutoscaler", "web"])
    assert (state, reason) == ("ready", "holds still: FailedGetResourceMetric (cpu)")


def test_an_autoscaler_of_nothing_says_so():
    state, reason = judge(RECORDED["HorizontalPodAutoscaler", "orphan"])
    assert state == "progressing"
    assert reason.startswith("FailedGetScale: ")
    assert reason.endswith('deployments.apps "no-such" not found')


def external(name):
    return {"type": "External", "external": {"metric": {"name": name}}}


@pytest.mark.parametrize(
    ("active", "current", "reason"),
    [
        ("False", ["", ""], "holds still: R (lag, depth)"),
        ("True", ["", "External"], "scales up only: no value of lag"),
        ("True", ["External", "External"], "scales"),
        ("False", [], "holds still: R"),
    ],
)
def test_an_autoscaler_names_every_metric_without_a_value(active, current, reason):
    obj = custom("autoscaling/v2", "HorizontalPodAutoscaler", **conditions(AbleToScale="True", ScalingActive=active))
    obj["spec"] = {"metrics": [external("lag"), external("depth")]}
    obj["status"] |= {"desiredReplicas": 0, "currentMetrics": [{"type": kind} for kind in current]}
    assert judge(obj) == ("ready", reason)


def v1_autoscaler(**states):
    """As an API server shows it in autoscaling/v1: conditions are in an annotation."""
    obj = custom("autoscaling/v1", "HorizontalPodAutoscaler", currentReplicas=1, desiredReplicas=0)
    carried = json.dumps(conditions(**states)["conditions"])
    obj["metadata"]["annotations"] = {"autoscaling.alpha.kubernetes.io/conditions": carried}
    return obj


def test_a_v1_autoscaler_has_its_conditions_in_an_annotation():
    assert judge(v1_autoscaler(AbleToScale="True", ScalingActive="True")) == ("ready", "scales")
    assert judge(v1_autoscaler(AbleToScale="True", ScalingActive="False")) == ("ready", "holds still: R")
    assert judge(v1_autoscaler(AbleToScale="False")) == ("progressing", "R: m")
    unseen = custom("autoscaling/v1", "HorizontalPodAutoscaler", currentReplicas=1, desiredReplicas=0)
    assert judge(unseen) == ("progressing", UNSEEN)


def changed(identity, **status):
    """The recorded object with another status, and spec where a path is given."""
    obj = copy.deepcopy(RECORDED[identity])
    obj["status"].update(status)
    return obj


@pytest.mark.parametrize("identity", [key for key in PROVEN if key[0] in ("Deployment", "StatefulSet", "DaemonSet")])
def test_a_change_its_controller_has_not_seen_is_not_ready(identity):
    obj = changed(identity)
    obj["metadata"]["generation"] += 1
    state, reason = judge(obj)
    assert state == "progressing"
    assert UNSEEN in reason


def test_a_deployment_is_ready_when_its_old_pods_are_gone():
    obj = changed(("Deployment", "web"), replicas=2)
    assert judge(obj).state == "progressing"
    obj = changed(("Deployment", "web"), updatedReplicas=0)
    assert judge(obj) == ("progressing", "0/1 ready")


def test_a_rolling_stateful_set_waits_for_its_last_pod():
    obj = changed(("StatefulSet", "partitioned"))
    obj["spec"]["updateStrategy"]["rollingUpdate"]["partition"] = 0
    assert judge(obj) == ("progressing", "1/2 ready")


def test_a_partition_that_is_not_updated_yet_is_waited_for():
    assert judge(changed(("StatefulSet", "partitioned"), updatedReplicas=0)).state == "progressing"


def test_what_an_on_delete_strategy_leaves_broken_is_waited_for():
    assert judge(changed(("DaemonSet", "on-delete"), numberAvailable=0)).state == "progressing"
    assert judge(changed(("StatefulSet", "on-delete"), availableReplicas=0)).state == "progressing"


def test_a_load_balancer_with_an_address_is_ready():
    obj = changed(("Service", "balanced"), loadBalancer={"ingress": [{"ip": "192.0.2.7"}]})
    assert judge(obj) == ("ready", "192.0.2.7")


def test_a_claim_is_ready_when_bound_and_failed_when_lost():
    identity = ("PersistentVolumeClaim", "first-consumer")
    assert judge(changed(identity, phase="Bound")).state == "ready"
    assert judge(changed(identity, phase="Lost")).state == "failed"


def test_a_finished_job_counts_by_its_condition_while_it_is_deleted():
    for name, state in (("complete", "ready"), ("failing", "failed")):
        obj = changed(("Job", name))
        obj["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        assert judge(obj).state == state


def test_a_job_that_may_run_no_pod_is_as_ready_as_it_gets():
    assert judge({**custom("batch/v1", "Job"), "spec": {"parallelism": 0}}) == ("ready", "no pods (parallelism 0)")


def test_a_load_balancer_of_external_addresses_needs_no_controller():
    obj = {**custom("v1", "Service"), "spec": {"type": "LoadBalancer", "externalIPs": ["192.0.2.1"]}}
    assert judge(obj).state == "ready"


def test_a_replication_controller_is_judged_like_a_replica_set():
    obj = custom("v1", "ReplicationController", generation=1, observedGeneration=1, replicas=2)
    obj["spec"] = {"replicas": 2}
    assert judge(obj) == ("progressing", "0/2 ready")
    obj["status"]["availableReplicas"] = 2
    assert judge(obj) == ("ready", "2/2 ready")


def test_what_is_being_deleted_is_not_ready():
    obj = changed(("Deployment", "web"))
    obj["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert judge(obj) == ("progressing", "being deleted")


def test_every_rule_survives_an_object_without_status():
    for group, kind in KINDS:
        bare = {"apiVersion": f"{group}/v1" if group else "v1", "kind": kind, "metadata": {"name": "x"}, "spec": {}}
        assert judge(bare).state in ("ready", "progressing")


@pytest.mark.parametrize("identity", KINDS, ids="/".join)
def test_a_row_has_its_stage_and_sentences_for_a_late_object(identity):
    kind = row(*identity)
    assert (kind.stage == "workload") == (kind.wave == WORKLOADS)
    for reason in ("pending", UNSEEN):
        assert all(kind.late(identity[1], reason, "kubectl describe"))


@pytest.mark.parametrize(
    ("identity", "reason", "why"),
    [
        (("", "Service"), "no load balancer address yet", "its load balancer controller has not given it an address"),
        (("", "Service"), f"x: {UNSEEN}", "nothing in the cluster has given the Service an address"),
        (("serving.knative.dev", "Service"), "not ready", "it did not become ready in time"),
        (("apps", "Deployment"), f"0/1 {UNSEEN}", "no controller has looked at it"),
        (("example.dev", "Widget"), "not ready", "it did not become ready in time"),
    ],
)
def test_a_late_object_is_explained(identity, reason, why):
    assert row(*identity).late(identity[1], reason, "kubectl describe")[0] == why


@pytest.mark.parametrize(
    ("obj", "events", "problem"),
    [
        (RECORDED["APIService", "v1.demo.example.dev"], [], "ServiceNotFound"),
        (RECORDED["HorizontalPodAutoscaler", "orphan"], [], "FailedGetScale"),
        (RECORDED["Job", "failing"], [], "BackoffLimitExceeded"),
        (RECORDED["PersistentVolumeClaim", "first-consumer"], [], None),
        (
            RECORDED["PersistentVolumeClaim", "first-consumer"],
            [{"reason": "VolumeMismatch", "message": "too small"}],
            "VolumeMismatch: too small",
        ),
        (RECORDED["Service", "balanced"], [{"reason": "AllocationFailed"}], None),
    ],
)
def test_a_row_names_the_problem_that_may_end_a_wait(obj, events, problem):
    answer = kind_of(obj).problem(obj, judge(obj), events)
    assert answer is None if problem is None else answer.reason.startswith(problem)
