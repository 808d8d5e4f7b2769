# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""When an object is ready, and why a pod never will be: judged from objects as the API server showed them."""

from __future__ import annotations

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils import _diagnose, _predicates, _terminating
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._predicates import judge


def workload(kind, spec=None, generation=1, **status):
    status.setdefault("observedGeneration", generation)
    return {
        "kind": kind,
        "metadata": {"name": "x", "generation": generation},
        "spec": spec or {"replicas": 3},
        "status": status,
    }


def conditions(**states):
    return [{"type": key, "status": value, "reason": "R", "message": "m"} for key, value in states.items()]


@pytest.mark.parametrize(
    ("obj", "state"),
    [
        (workload("Deployment", replicas=3, updatedReplicas=3, availableReplicas=3), "ready"),
        (workload("Deployment", replicas=4, updatedReplicas=3, availableReplicas=4), "progressing"),
        (workload("Deployment", replicas=3, updatedReplicas=1, availableReplicas=3), "progressing"),
        (
            workload(
                "Deployment", generation=2, observedGeneration=1, replicas=3, updatedReplicas=3, availableReplicas=3
            ),
            "progressing",
        ),
        (workload("Deployment", conditions=conditions(ReplicaFailure="True")), "failed"),
        (workload("Deployment", {"replicas": 0}), "ready"),
        (
            workload(
                "StatefulSet",
                {"replicas": 1},
                replicas=1,
                updatedReplicas=1,
                availableReplicas=1,
                currentRevision="a",
                updateRevision="a",
            ),
            "ready",
        ),
        (
            workload(
                "StatefulSet",
                {"replicas": 1},
                replicas=1,
                currentReplicas=1,
                availableReplicas=1,
                currentRevision="a",
                updateRevision="b",
            ),
            "progressing",
        ),
        (workload("DaemonSet", {}, desiredNumberScheduled=2, updatedNumberScheduled=2, numberAvailable=2), "ready"),
        (
            workload("DaemonSet", {}, desiredNumberScheduled=2, updatedNumberScheduled=2, numberAvailable=1),
            "progressing",
        ),
        (workload("Job", {}, conditions=conditions(Complete="True")), "ready"),
        (workload("Job", {}, conditions=conditions(Failed="True")), "failed"),
        (workload("Job", {}, active=1), "progressing"),
        (workload("Pod", {}, phase="Running", conditions=conditions(Ready="True")), "ready"),
        (workload("Pod", {}, phase="Running", conditions=conditions(Ready="False")), "progressing"),
        (workload("Pod", {}, phase="Failed", reason="Evicted"), "failed"),
        (workload("PersistentVolumeClaim", {}, phase="Bound"), "ready"),
        (workload("PersistentVolumeClaim", {}, phase="Pending"), "progressing"),
        (workload("PersistentVolumeClaim", {}, phase="Lost"), "failed"),
        (workload("Service", {"type": "ClusterIP"}), "ready"),
        (workload("Service", {"type": "LoadBalancer"}), "progressing"),
        (workload("Service", {"type": "LoadBalancer"}, loadBalancer={"ingress": [{"ip": "10.0.0.1"}]}), "ready"),
        (workload("Namespace", {}, phase="Active"), "ready"),
        (workload("CustomResourceDefinition", {}), "progressing"),
        (workload("CustomResourceDefinition", {}, conditions=conditions(Established="True")), "ready"),
        (workload("HorizontalPodAutoscaler", {}), "progressing"),
        (
            workload("HorizontalPodAutoscaler", {}, conditions=conditions(AbleToScale="True", ScalingActive="False")),
            "ready",
        ),
        (workload("PodDisruptionBudget", {}, generation=2, observedGeneration=1), "progressing"),
        (workload("ConfigMap", {}), "ready"),
        (workload("Certificate", {}, conditions=conditions(Ready="False")), "progressing"),
        (workload("Certificate", {}, conditions=conditions(Ready="True")), "ready"),
    ],
)
def test_predicates(obj, state):
    assert judge(obj).state == state


def test_every_rule_survives_an_object_without_status():
    for kind in _predicates._RULES:
        assert judge({"kind": kind, "metadata": {"name": "x"}, "spec": {}}).state in ("ready", "progressing")


def pod(state, restarts=0, last=None, **status):
    container = {"name": "c", "image": "x:1", "restartCount": restarts, "state": state, "lastState": last or {}}
    return {"metadata": {"name": "p", "namespace": "ns"}, "status": {"containerStatuses": [container], **status}}


def waiting(reason, message=""):
    return {"waiting": {"reason": reason, "message": message}}


@pytest.mark.parametrize(
    ("state", "patience"),
    [
        (waiting("ErrImagePull", "not found"), 0),
        (waiting("ErrImagePull", "dial tcp: i/o timeout"), _diagnose.PATIENCE),
        (waiting("InvalidImageName"), 0),
        (waiting("ErrImageNeverPull"), 0),
    ],
)
def test_images_that_cannot_come_end_the_wait(state, patience):
    found = _diagnose.trouble(pod(state))
    assert found is not None
    assert found.patience == patience
    assert "x:1" in found.reason


def test_a_missing_secret_is_named():
    found = _diagnose.trouble(pod(waiting("CreateContainerConfigError", 'secret "api-key" not found')))
    assert found is not None
    assert 'secret "api-key" not found' in found.reason


def test_a_crash_is_trouble_only_when_it_repeats():
    ended = {"terminated": {"exitCode": 3, "reason": "Error"}}
    assert _diagnose.trouble(pod(waiting("CrashLoopBackOff"), 1, ended)) is None
    found = _diagnose.trouble(pod(waiting("CrashLoopBackOff"), 2, ended))
    assert found is not None
    assert found.crashed
    assert "exit code 3" in found.reason


@pytest.mark.parametrize(
    ("message", "stops"),
    [
        ("0/1 nodes are available: 1 Insufficient cpu.", True),
        ("pod has unbound immediate PersistentVolumeClaims", False),
        ('persistentvolumeclaim "data" not found', True),
    ],
)
def test_unschedulable(message, stops):
    told = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    assert (_diagnose.trouble({"metadata": {"name": "p"}, "status": {"conditions": [told]}}) is not None) == stops


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ('pods "x" is forbidden: exceeded quota: q, requested: pods=1', "ResourceQuota"),
        ('pods "x" is forbidden: violates PodSecurity "restricted:latest"', "Pod Security"),
        ('pods "x" is forbidden: maximum cpu usage per Container is 1, but limit is 2', "LimitRange"),
    ],
)
def test_refused_pods_name_who_refuses(message, why):
    found = _diagnose.refused_creation({"reason": "FailedCreate", "message": message})
    assert found is not None
    assert why in found.why


def test_a_healthy_pod_is_no_trouble_and_has_a_word():
    assert _diagnose.trouble(pod({"running": {}})) is None
    assert _diagnose.phase(pod({"running": {}})) == "starting"
    assert _diagnose.phase(pod(waiting("ContainerCreating"))) == "pulling"


def test_a_terminating_namespace_names_its_finalizers():
    told = {
        "type": "NamespaceFinalizersRemaining",
        "status": "True",
        "message": "Some content in the namespace has finalizers remaining: example.dev/hold in 1 resource instances",
    }
    stuck = {"metadata": {"name": "ns", "deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"conditions": [told]}}
    sentence, way_out = _terminating.stuck(stuck)
    assert sentence == (
        "namespace ns is being deleted since 2026-01-01T00:00:00Z, "
        "waiting for finalizers: example.dev/hold in 1 resource instances"
    )
    assert "finalizer" in way_out
