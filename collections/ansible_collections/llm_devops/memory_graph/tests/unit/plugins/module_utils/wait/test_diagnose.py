# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The diagnosis of pods and claims: why one never becomes ready, and whether waiting can help."""

from __future__ import annotations

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.kinds._claims import binding_problem
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.kinds._problem import HEALING_GRACE_S
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects import _namespaces
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.wait import _assessment, _diagnose, _pod_status


def pod(state, restarts=0, last=None, **status):
    container = {"name": "c", "image": "x:1", "restartCount": restarts, "state": state, "lastState": last or {}}
    return {"metadata": {"name": "p", "namespace": "ns"}, "status": {"containerStatuses": [container], **status}}


def waiting(reason, message=""):
    return {"waiting": {"reason": reason, "message": message}}


@pytest.mark.parametrize(
    ("state", "grace_s"),
    [
        (waiting("ErrImagePull", "not found"), 0),
        (waiting("ErrImagePull", "dial tcp: i/o timeout"), HEALING_GRACE_S),
        (waiting("InvalidImageName"), 0),
        (waiting("ErrImageNeverPull"), 0),
    ],
)
def test_images_that_cannot_come_end_the_wait(state, grace_s):
    problem = _diagnose.pod_problem(pod(state))
    assert problem is not None
    assert problem.grace_s == grace_s
    assert "x:1" in problem.reason


def test_a_missing_secret_is_named():
    problem = _diagnose.pod_problem(pod(waiting("CreateContainerConfigError", 'secret "api-key" not found')))
    assert problem is not None
    assert 'secret "api-key" not found' in problem.reason


def test_a_crash_is_a_problem_only_when_it_repeats():
    ended = {"terminated": {"exitCode": 3, "reason": "Error"}}
    assert _diagnose.pod_problem(pod(waiting("CrashLoopBackOff"), 1, ended)) is None
    problem = _diagnose.pod_problem(pod(waiting("CrashLoopBackOff"), 2, ended))
    assert problem is not None
    assert problem.crashed
    assert "exit code 3" in problem.reason


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (143, "its startup probe fails: Startup probe failed: no database"),
        (0, "its startup probe fails: Startup probe failed: no database"),
        (1, "the program ends right after it starts"),
    ],
)
def test_a_program_that_ends_by_itself_is_not_blamed_on_its_probe(code, why):
    crashed = pod(waiting("CrashLoopBackOff"), 2, {"terminated": {"exitCode": code, "reason": "Error"}})
    problem = _diagnose.pod_problem(crashed)
    assert problem is not None
    assert _assessment._probed(problem, crashed, [unhealthy("Startup", 3)]).why == why


@pytest.mark.parametrize(
    ("message", "stops"),
    [
        ("0/1 nodes are available: 1 Insufficient cpu.", True),
        ("pod has unbound immediate PersistentVolumeClaims", False),
        ('persistentvolumeclaim "data" not found', True),
    ],
)
def test_unschedulable(message, stops):
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    assert (
        _diagnose.pod_problem({"metadata": {"name": "p"}, "status": {"conditions": [condition]}}) is not None
    ) == stops


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ('pods "x" is forbidden: exceeded quota: q, requested: pods=1', "ResourceQuota"),
        ('pods "x" is forbidden: violates PodSecurity "restricted:latest"', "Pod Security"),
        ('pods "x" is forbidden: maximum cpu usage per Container is 1, but limit is 2', "LimitRange"),
    ],
)
def test_refused_pods_name_who_refuses(message, why):
    problem = _diagnose.refused_creation({"reason": "FailedCreate", "message": message})
    assert problem is not None
    assert why in problem.why


def test_an_init_container_loops_one_restart_sooner():
    """Unlike a container it has a back-off before its first restart."""
    crashed = pod({"running": {}})
    ended = {"terminated": {"exitCode": 4}}
    state = {"name": "first", "restartCount": 1, "state": waiting("CrashLoopBackOff"), "lastState": ended}
    crashed["status"]["initContainerStatuses"] = [state]
    problem = _diagnose.pod_problem(crashed)
    assert problem is not None
    assert "init container first ended 2 times (exit code 4)" in problem.reason


@pytest.mark.parametrize(
    ("message", "grace_s"),
    [
        ('Back-off pulling image "x:1"', HEALING_GRACE_S),
        ('Back-off pulling image "x:1": ErrImagePull: failed to resolve reference "x:1": x:1: not found', 0),
    ],
)
def test_a_back_off_is_judged_by_its_cause(message, grace_s):
    problem = _diagnose.pod_problem(pod(waiting("ImagePullBackOff", message)))
    assert problem is not None
    assert problem.grace_s == grace_s


def test_a_volume_of_a_missing_secret_is_named_by_the_event_alone():
    event = {"reason": "FailedMount", "message": 'MountVolume.SetUp failed for volume "k" : secret "no-such" not found'}
    stuck = pod(waiting("ContainerCreating"))
    problem = _diagnose.pod_problem(stuck, [event])
    assert problem is not None
    assert problem.missing
    stuck["status"]["conditions"] = [{"type": "PodReadyToStartContainers", "status": "True"}]
    assert _diagnose.pod_problem(stuck, [event]) is None


def test_a_volume_that_is_slow_is_no_problem():
    event = {"reason": "FailedMount", "message": "failed to sync secret cache: timed out waiting for the condition"}
    assert _diagnose.pod_problem(pod(waiting("ContainerCreating")), [event]) is None


def test_a_pod_for_which_others_are_preempted_is_not_unschedulable():
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/1 Insufficient cpu",
    }
    status = {"conditions": [condition], "nominatedNodeName": "node-1"}
    assert _diagnose.pod_problem({"metadata": {"name": "p"}, "status": status}) is None


@pytest.mark.parametrize(
    ("reason", "message", "why"),
    [
        ("ProvisioningFailed", 'storageclass.storage.k8s.io "x" not found', "its storage class does not exist"),
        ("ProvisioningFailed", "no volume plugin matched name: kubernetes.io/no-provisioner", "has no provisioner"),
        ("FailedBinding", "no persistent volumes available for this claim and no storage class is set", "no default"),
        ("FailedBinding", 'volume "x" already bound to a different claim.', "is another claim's"),
        ("VolumeMismatch", 'Cannot bind to requested volume "x": requested PV is too small', "does not fit it"),
    ],
)
def test_a_claim_that_nobody_provides_for(reason, message, why):
    assert why in binding_problem({"reason": reason, "message": message}).why


@pytest.mark.parametrize("reason", ["ExternalProvisioning", "WaitForFirstConsumer"])
def test_a_claim_that_somebody_is_at_work_on(reason):
    assert binding_problem({"reason": reason, "message": "waiting for …"}) is None


def unhealthy(kind, count):
    return {"reason": "Unhealthy", "message": f"{kind} probe failed: no database", "count": count}


@pytest.mark.parametrize(
    ("pending_pod", "events", "word", "detail"),
    [
        (pod(waiting("ContainerCreating")), [], "pulling", ""),
        (pod(waiting("PodInitializing")), [], "pulling", ""),
        (pod({"running": {}}), [], "starting", ""),
        (pod({"running": {}}), [unhealthy("Readiness", 1)], "starting", ""),
        (pod({"running": {}}), [unhealthy("Readiness", 2)], "not ready", "Readiness probe failed: no database"),
        (
            pod({"running": {}}, 1, {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}),
            [],
            "starting again (1. restart, exit code 137, OOMKilled)",
            "",
        ),
        (pod(waiting("ErrImagePull")), [], "ErrImagePull", ""),
    ],
)
def test_the_phase_of_a_pod_is_a_word_that_stays(pending_pod, events, word, detail):
    assert _pod_status.phase(pending_pod, events) == (word, detail)


def test_volumes_are_prepared_before_an_image_is_pulled():
    early = pod(waiting("ContainerCreating"))
    early["status"]["conditions"] = [{"type": "PodReadyToStartContainers", "status": "False"}]
    assert _pod_status.phase(early) == ("preparing", "")
    mounts = {"reason": "FailedAttachVolume", "message": "Multi-Attach error for volume"}
    assert _pod_status.phase(early, [mounts]) == ("preparing", "FailedAttachVolume: Multi-Attach error for volume")


def test_a_failed_pod_names_its_container_and_exit_code():
    assert _diagnose.ended(pod({"terminated": {"exitCode": 2, "reason": "Error"}})) == (
        "c",
        "container c ended with exit code 2",
    )


def test_a_healthy_pod_has_no_problem():
    assert _diagnose.pod_problem(pod({"running": {}})) is None


def test_a_terminating_namespace_names_its_finalizers():
    condition = {
        "type": "NamespaceFinalizersRemaining",
        "status": "True",
        "message": "Some content in the namespace has finalizers remaining: example.dev/hold in 1 resource instances",
    }
    stuck = {
        "metadata": {"name": "ns", "deletionTimestamp": "2026-01-01T00:00:00Z"},
        "status": {"conditions": [condition]},
    }
    sentence, way_out = _namespaces.stuck(stuck)
    assert sentence == (
        "namespace ns is being deleted since 2026-01-01T00:00:00Z, "
        "waiting for finalizers: example.dev/hold in 1 resource instances"
    )
    assert "finalizer" in way_out


def probed(command=None):
    exec_probe = {"exec": {"command": command}} if command else {"tcpSocket": {"port": 1}}
    running = pod({"running": {}}, started=True)
    running["spec"] = {"containers": [{"name": "c", "readinessProbe": exec_probe}]}
    return running


SILENT = "Readiness probe failed without output"


@pytest.mark.parametrize(
    ("running", "message", "detail"),
    [
        (probed(["sh", "-c", "exit 1"]), "Readiness probe failed: ", f"{SILENT}: sh -c exit 1"),
        (probed(["x" * 90]), "Readiness probe failed: \n", f"{SILENT}: {'x' * 79}…"),
        (probed(), "Readiness probe failed: ", SILENT),
        (probed(["false"]), "Readiness probe failed: no database", "Readiness probe failed: no database"),
    ],
)
def test_a_probe_that_fails_without_output_is_named_by_its_command(running, message, detail):
    event = {"reason": "Unhealthy", "message": message, "count": 3}
    assert _pod_status.phase(running, [event]) == ("not ready", detail)


def test_a_readiness_gate_that_nobody_opens_is_named():
    gated = pod({"running": {}})
    gated["status"]["containerStatuses"][0]["ready"] = True
    message = 'corresponding condition of pod readiness gate "example.dev/up" does not exist.'
    gated["status"]["conditions"] = [
        {"type": "Ready", "status": "False", "reason": "ReadinessGatesNotReady", "message": message}
    ]
    assert _pod_status.phase(gated) == ("not ready", message)
