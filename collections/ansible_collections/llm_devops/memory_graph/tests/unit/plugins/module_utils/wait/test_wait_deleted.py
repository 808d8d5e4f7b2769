# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Awaited objects that somebody deletes, and autoscalers that can do nothing: no wait is without an end."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ApiError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._discovery import Resource
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._manifest import ref
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.wait._watch import WatchOpened
from ansible_collections.llm_devops.memory_graph.tests.unit.plugins.module_utils.wait.harness import (
    WaitHarness,
    recorded,
)


@pytest.fixture
def waiting(monkeypatch):
    return WaitHarness(monkeypatch)


def deleted(waiting, obj):
    waiting.waiter.cache.update("watch", {"type": "DELETED", "object": copy.deepcopy(obj)})
    return waiting.after(0)


@pytest.mark.parametrize("action", ["created", "unchanged"])
@pytest.mark.parametrize(
    "identity", [("Service", "balanced"), ("PersistentVolumeClaim", "first"), ("Job", "suspended"), ("Pod", "late")]
)
def test_what_somebody_deletes_ends_the_wait_by_name(waiting, identity, action):
    obj = recorded(*identity)
    name = f"{obj['kind']}/{obj['metadata']['name']}"
    assert deleted(waiting.begin(obj, action=action), obj).state(name) == "failed"
    (status,) = waiting.waiter.status.values()
    assert status.reason == "deleted while it was waited for"
    assert status.way_out == "find out who deletes it, and run again to make it anew"


def test_what_is_deleted_after_it_became_ready_ends_the_wait_too(waiting):
    public, claim = recorded("Service", "balanced"), recorded("PersistentVolumeClaim", "first")
    public["status"] = {"loadBalancer": {"ingress": [{"hostname": "lb.example"}]}}
    waiting.begin(public, claim).after(0)
    assert waiting.state("Service/balanced") == "ready"
    assert deleted(waiting, public).state("Service/balanced") == "failed"


def test_what_is_deleted_and_held_by_a_finalizer_ends_the_wait(waiting):
    obj = recorded("Service", "balanced")
    obj["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["example.dev/hold"]}
    waiting.begin(obj).after(0)
    (status,) = waiting.waiter.status.values()
    assert status.reason == "being deleted since 2026-01-01T00:00:00Z, waiting for finalizers: example.dev/hold"


@pytest.mark.parametrize(("name", "state"), [("complete", "ready"), ("failing", "failed")])
def test_a_finished_job_counts_by_its_condition_deleted_or_not(waiting, name, state):
    job = recorded("Job", name)
    running = copy.deepcopy(job)
    running["status"] = {}
    assert deleted(waiting.begin(running), job).state(f"Job/{name}") == state


def test_a_pod_that_ends_because_it_is_deleted_is_not_complete(waiting):
    pod = recorded("Pod", "late")
    deleting = copy.deepcopy(pod)
    deleting["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    ended = copy.deepcopy(deleting)
    ended["status"]["phase"] = "Succeeded"
    waiting.begin(pod)
    waiting.waiter.cache.update("watch", {"type": "MODIFIED", "object": deleting})
    waiting.waiter.cache.update("watch", {"type": "MODIFIED", "object": ended})
    assert deleted(waiting, ended).state(f"Pod/{pod['metadata']['name']}") == "failed"


def waiter_with_open_watch(waiting, job):
    """Return a waiter whose watch is open and has shown nothing yet."""
    waiting.begin(job)
    waiting.waiter.steps[ref(job)].resource = Resource("batch/v1", "Job", "jobs", True, frozenset())
    waiting.waiter.watched = {ref(job)}
    waiting.waiter.watches = {"watch": ("batch", "Job", job["metadata"]["namespace"])}
    waiting.waiter._handle(WatchOpened("watch"))
    return waiting.waiter


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([{"reason": "SuccessfulCreate"}, {"reason": "Completed", "message": "Job completed"}], "ready"),
        ([{"reason": "BackoffLimitExceeded", "message": "Job has reached the specified backoff limit"}], "failed"),
        ([], "failed"),
    ],
)
def test_a_job_that_was_gone_before_the_watch_is_known_by_its_events(waiting, events, state):
    job = recorded("Job", "complete")
    job["status"] = {}
    waiter = waiter_with_open_watch(waiting, job)
    waiting.cluster.events = events
    waiting.clock.now += 1
    waiter._read_unseen()
    assert waiting.after(0).state("Job/complete") == state


def test_what_a_watch_shows_is_not_looked_for(waiting):
    job = recorded("Job", "suspended")
    job["spec"]["suspend"] = False
    waiter = waiter_with_open_watch(waiting, job)
    waiter._handle(("watch", {"type": "ADDED", "object": job}))
    waiting.clock.now += 5
    waiter._read_unseen()
    assert waiting.after(0).state("Job/suspended") == "progressing"


@pytest.fixture
def named_volume():
    claim = recorded("PersistentVolumeClaim", "first")
    claim["spec"]["volumeName"] = "disk"
    return claim


def test_a_claim_of_a_volume_that_is_not_there_ends_the_wait(waiting, named_volume):
    waiting.begin(named_volume).after(0).after(4)
    assert waiting.state("PersistentVolumeClaim/first-consumer") == "progressing"
    assert waiting.lines == ["PersistentVolumeClaim/first-consumer  pending: PersistentVolume disk does not exist"]
    assert waiting.after(2).state("PersistentVolumeClaim/first-consumer") == "failed"
    (status,) = waiting.waiter.status.values()
    assert status.reason == "PersistentVolume disk does not exist"
    assert status.way_out == "create it, correct volumeName, or leave it out to be given a volume"


def test_a_claim_of_a_volume_that_comes_is_waited_for(waiting, named_volume):
    waiting.begin(named_volume).after(0).after(4)
    waiting.cluster.find = lambda _path: {"kind": "PersistentVolume"}
    waiting.after(2).after(600)
    assert waiting.state("PersistentVolumeClaim/first-consumer") == "progressing"


def test_a_claim_of_a_volume_that_may_not_be_read_is_waited_for(waiting, named_volume):
    def forbidden(_path):
        paths.append(_path)
        raise ApiError(403, {}, "may not get persistentvolumes")

    paths, waiting.cluster.find = [], forbidden
    waiting.begin(named_volume).after(0).after(600)
    assert waiting.state("PersistentVolumeClaim/first-consumer") == "progressing"
    assert paths == ["/api/v1/persistentvolumes/disk"]


def test_a_load_balancer_that_nobody_makes_is_said_after_a_moment(waiting):
    public = recorded("Service", "balanced")
    waiting.begin(public).after(0)
    assert waiting.lines == ["Service/balanced  no load balancer address yet"]
    waiting.after(2).after(600)
    assert waiting.lines[1:] == ["Service/balanced  no load balancer address yet: not seen by its controller yet"]
    assert waiting.state("Service/balanced") == "progressing"
    (status,) = waiting.waiter.run(0)
    assert status.why == "nothing in the cluster has given the Service an address"
    assert status.way_out.startswith("install a load balancer controller")


@pytest.mark.parametrize("trace", [{"finalizers": ["service.kubernetes.io/load-balancer-cleanup"]}, {}])
def test_a_load_balancer_that_somebody_is_at_work_on_says_what_it_is_told(waiting, trace):
    public = recorded("Service", "balanced")
    public["metadata"] |= trace
    about = {"kind": "Service", "namespace": "demo", "name": "balanced"}
    event = {"apiVersion": "v1", "kind": "Event", "metadata": {"uid": "1", "name": "e"}, "involvedObject": about,
             "reason": "AllocationFailed", "message": "no available IPs"}  # fmt: skip
    waiting.begin(public).after(3)
    assert waiting.lines == ["Service/balanced  no load balancer address yet" + (
        "" if trace else ": not seen by its controller yet")]  # fmt: skip
    waiting.show(event)
    assert waiting.lines[1:] == ["Service/balanced  no load balancer address yet: AllocationFailed: no available IPs"]
    (status,) = waiting.waiter.run(0)
    assert status.why == "its load balancer controller has not given it an address"
    assert status.way_out == "read what it says of it  ·  kubectl -n demo describe service balanced"


def test_an_autoscaler_of_nothing_ends_the_wait(waiting):
    orphan = recorded("HorizontalPodAutoscaler", "orphan")
    waiting.begin(orphan).after(0).after(34)
    assert waiting.state("HorizontalPodAutoscaler/orphan") == "progressing"
    assert waiting.after(2).state("HorizontalPodAutoscaler/orphan") == "failed"


def test_a_workload_scaled_to_nothing_waits_for_no_autoscaler(waiting):
    """A HorizontalPodAutoscaler is off while its target has 0 replicas."""
    deployment = recorded("Deployment", "web")
    deployment["spec"]["replicas"] = 0
    deployment["status"] = {"observedGeneration": deployment["metadata"]["generation"]}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    autoscaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {**deployment["metadata"], "name": "web"},
        "spec": {"scaleTargetRef": target, "minReplicas": 2},
    }
    assert waiting.begin(deployment, autoscaler).after(0).state("Deployment/web") == "ready"
