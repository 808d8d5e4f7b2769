# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The wait as a whole: the pods that count, the grace of a problem, the lines reported, an absent API server."""

from __future__ import annotations

import copy
import json

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import Unreachable
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.wait._assessment import assess
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.wait._watch import (
    ConnectionLost,
    WatchOpened,
)
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.wait._watch_cache import WatchCache
from ansible_collections.llm_devops.memory_graph.tests.unit.plugins.module_utils.wait.harness import (
    ALL,
    WaitHarness,
    recorded,
)


def cache_of(*objects):
    """A cache of what one watch has shown."""
    cache = WatchCache({})
    for obj in objects:
        cache.update("watch", {"type": "ADDED", "object": obj})
    return cache


def of_revision(original, pod_hash, uid, revision):
    """A ReplicaSet and its pod, like the recorded ones but of another revision of the Deployment."""
    text = json.dumps(original).replace("6658797cb9", pod_hash)
    replica_set, pod = json.loads(text)
    for obj in (replica_set, pod):
        obj["metadata"]["uid"] = f"{uid}-{obj['kind']}"
    replica_set["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = revision
    return replica_set, pod


@pytest.fixture
def web():
    """A Deployment at revision 2, and the ReplicaSets and ready pods of revisions 1 and 2."""
    deployment = recorded("Deployment", "web")
    original = [recorded("ReplicaSet", "web"), recorded("Pod", "web")]
    deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "2"
    return deployment, of_revision(original, "old", "1", "1"), of_revision(original, "new", "2", "2")


def test_pods_of_the_newest_replica_set_are_the_present_ones(web):
    deployment, (old_set, old_pod), (new_set, new_pod) = web
    cache = cache_of(old_set, new_set, old_pod, new_pod, recorded("Pod", "late"))
    assert cache.pods(deployment) == ([new_pod], [old_pod])


def test_without_replica_sets_the_newest_pod_has_the_revision(web):
    deployment, (_old_set, old_pod), (_new_set, new_pod) = web
    old_pod["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z"
    assert cache_of(new_pod, old_pod).pods(deployment) == ([new_pod], [old_pod])


def test_what_is_gone_when_a_watch_begins_anew_is_forgotten(web):
    deployment, _old, (new_set, new_pod) = web
    cache = cache_of(new_set, new_pod)
    cache.opened("another watch")
    assert cache.pods(deployment)[0]
    cache.opened("watch")
    assert cache.pods(deployment) == ([], [])


def test_pods_an_update_strategy_leaves_alone_are_present_ones():
    for kind, name in (("StatefulSet", "partitioned"), ("StatefulSet", "on-delete"), ("DaemonSet", "on-delete")):
        workload = recorded(kind, name)
        pods = [
            pod for pod in ALL
            if pod["kind"] == "Pod"
            and any(owner["kind"] == kind for owner in pod["metadata"].get("ownerReferences", []))
            and pod["metadata"]["name"].startswith(name)
        ]  # fmt: skip
        assert len(pods) >= 1
        assert cache_of(*pods).pods(workload)[1] == []


def test_a_rollout_past_its_deadline_says_what_its_pod_says():
    late = recorded("Deployment", "late")
    events = [event for event in ALL if event["kind"] == "Event"]
    assessment = assess(late, cache_of(recorded("ReplicaSet", "late"), recorded("Pod", "late"), *events))
    ((problem, pod),) = assessment.problems
    assert problem.reason.startswith("ProgressDeadlineExceeded: ")
    assert problem.why == "not ready: Readiness probe failed: no database"
    assert pod["metadata"]["name"].startswith("late-")
    assert problem.container == "main"


def test_a_broken_revision_counts_its_own_pods_and_names_what_still_serves(web):
    deployment, (old_set, old_pod), (new_set, new_pod) = web
    deployment["status"]["replicas"] = 2
    break_image(new_pod)
    assessment = assess(deployment, cache_of(old_set, new_set, old_pod, new_pod))
    assert (assessment.text, assessment.serving) == ("0/1 ErrImageNeverPull", "1/1")


def break_image(pod, reason="ErrImageNeverPull"):
    pod["status"]["containerStatuses"][0].update(ready=False, state={"waiting": {"reason": reason}})
    for condition in pod["status"]["conditions"]:
        if condition["type"] in ("Ready", "ContainersReady"):
            condition["status"] = "False"


@pytest.fixture
def waiting(monkeypatch):
    return WaitHarness(monkeypatch)


@pytest.fixture
def starting(web):
    """The Deployment while its new pod is not ready, with that pod."""
    deployment, _old, (new_set, new_pod) = web
    deployment["status"].update(availableReplicas=0, readyReplicas=0)
    break_image(new_pod)
    return deployment, new_set, new_pod


def unschedulable(pod):
    pod["status"] = {"phase": "Pending", "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "Insufficient cpu"},
    ]}  # fmt: skip
    return pod


def test_capacity_is_waited_for_a_while(waiting, starting):
    deployment, new_set, pod = starting
    waiting.begin(deployment).show(new_set, unschedulable(pod)).after(14)
    assert waiting.state("Deployment/web") == "progressing"
    assert waiting.after(2).state("Deployment/web") == "failed"


def test_a_node_that_is_on_its_way_is_waited_for(waiting, starting):
    deployment, new_set, pod = starting
    waiting.cluster.events = [{"reason": "TriggeredScaleUp"}]
    waiting.begin(deployment).show(new_set, unschedulable(pod))
    assert waiting.after(100).state("Deployment/web") == "progressing"


def test_a_problem_that_passes_is_forgotten(waiting, starting):
    deployment, new_set, pod = starting
    stuck = unschedulable(copy.deepcopy(pod))
    waiting.begin(deployment).show(new_set, stuck).after(14)
    break_image(pod, "ContainerCreating")
    waiting.show(pod).after(10)
    waiting.show(stuck).after(14)
    assert waiting.state("Deployment/web") == "progressing"


def test_a_workload_its_autoscaler_has_not_scaled_yet_is_waited_for(waiting, web):
    deployment, _old, (new_set, new_pod) = web
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    autoscaler = {
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {**deployment["metadata"], "name": "web"}, "spec": {"scaleTargetRef": target, "minReplicas": 2},
    }  # fmt: skip
    waiting.begin(deployment, autoscaler).show(new_set, new_pod).after(60)
    assert waiting.state("Deployment/web") == "progressing"
    assert "Deployment/web  1/1 ready, its autoscaler wants 2" in waiting.lines
    deployment["spec"]["replicas"] = 2
    deployment["status"].update(replicas=2, updatedReplicas=2, availableReplicas=2, readyReplicas=2)
    assert waiting.show(deployment).after(60).state("Deployment/web") == "ready"


def test_what_was_there_before_may_have_been_mended_meanwhile(waiting, starting):
    deployment, new_set, pod = starting
    waiting.begin(deployment, action="unchanged").show(new_set, pod).after(14)
    assert waiting.state("Deployment/web") == "progressing"
    assert waiting.after(2).state("Deployment/web") == "failed"


def crash(pod):
    ended = {"terminated": {"exitCode": 3, "reason": "Error"}}
    pod["status"]["containerStatuses"][0].update(restartCount=2, lastState=ended)
    break_image(pod, "CrashLoopBackOff")
    return pod


def test_a_crash_loop_may_last_while_another_workload_starts(waiting, starting):
    deployment, new_set, pod = starting
    database = recorded("StatefulSet", "on-delete")
    database["status"].update(availableReplicas=0)
    waiting.begin(deployment, database).show(new_set, crash(pod)).after(50)
    assert waiting.state("Deployment/web") == "progressing"
    assert waiting.after(11).state("Deployment/web") == "failed"


def test_a_crash_loop_alone_ends_the_wait_with_the_log(waiting, starting):
    deployment, new_set, pod = starting
    waiting.begin(deployment).show(new_set, crash(pod))
    (status,) = waiting.waiter.status.values()
    assert status.state == "failed"
    assert status.log == ["last words"]
    assert "ended 3 times (exit code 3)" in status.reason


def test_a_missing_secret_is_waited_for_while_an_operator_works(waiting, starting):
    deployment, new_set, pod = starting
    break_image(pod, "CreateContainerConfigError")
    pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"] = 'secret "keys" not found'
    external = {"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
                "metadata": {"name": "keys", "namespace": "demo", "uid": "e"}, "spec": {}}  # fmt: skip
    waiting.begin(deployment, external).show(new_set, pod).after(100)
    assert waiting.state("Deployment/web") == "progressing"
    waiting.show({**external, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}).after(6)
    assert waiting.state("Deployment/web") == "failed"


def test_without_a_readiness_probe_new_pods_must_run_for_a_moment(waiting):
    web = recorded("Deployment", "web")
    waiting.begin(web).after(0)
    assert waiting.state("Deployment/web") == "progressing"
    assert waiting.after(2.9).state("Deployment/web") == "progressing"
    crashed = copy.deepcopy(web)
    crashed["status"].update(availableReplicas=0)
    waiting.show(crashed).after(1)
    waiting.show(web).after(2.9)
    assert waiting.state("Deployment/web") == "progressing"
    assert waiting.after(0.2).state("Deployment/web") == "ready"


def test_what_did_not_change_or_has_a_probe_is_ready_at_once(waiting):
    web = recorded("Deployment", "web")
    assert waiting.begin(web, action="unchanged").after(0).state("Deployment/web") == "ready"
    web["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = {"grpc": {"port": 1}}
    assert waiting.begin(web).after(0).state("Deployment/web") == "ready"


def test_one_line_is_said_a_change_of_state(waiting, starting):
    deployment, new_set, pod = starting
    waiting.begin(deployment).show(new_set)
    break_image(pod, "ContainerCreating")
    waiting.show(pod)
    pod["status"]["containerStatuses"][0].update(state={"running": {}}, started=True)
    waiting.show(pod)
    for count in range(1, 5):
        event = {"apiVersion": "v1", "kind": "Event", "metadata": {"uid": "u", "name": "e", "namespace": "demo"},
                 "involvedObject": {"kind": "Pod", "namespace": "demo", "name": pod["metadata"]["name"]},
                 "reason": "Unhealthy", "message": f"Readiness probe failed: try {count}", "count": count}  # fmt: skip
        waiting.show(event)
    assert waiting.lines == [
        "Deployment/web  0/1 creating pods",
        "Deployment/web  0/1 pulling",
        "Deployment/web  0/1 starting",
        "Deployment/web  0/1 not ready: Readiness probe failed: try 2",
    ]


def test_an_api_server_that_goes_away_is_reported_and_waited_for(waiting, starting):
    deployment = starting[0]
    waiting.begin(deployment)
    for message in (
        ConnectionLost(None, Unreachable("no answer", "")),
        ConnectionLost(None, Unreachable("no answer", "")),
        WatchOpened(None),
    ):
        waiting.waiter._handle(message)
    assert waiting.lines == ["no answer; waiting for it to come back"]
    assert waiting.state("Deployment/web") == "progressing"
