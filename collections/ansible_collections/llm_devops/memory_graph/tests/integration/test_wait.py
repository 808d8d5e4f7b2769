# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Waiting, against the real API server of KUBECONFIG: every kind becomes ready."""

from __future__ import annotations

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.kinds._verdict import UNSEEN
from ansible_collections.llm_devops.memory_graph.tests.integration.waiter import (
    MAX_WAIT_S,
    claim,
    job,
    load_balancer,
    obj,
    pod,
    ready,
    workload,
)

CLASS = "storage.k8s.io/v1"


def storage_class(waiter, mode):
    """Return a StorageClass like the default one of the cluster, with that binding mode."""
    (default,) = [
        item for item in waiter.cluster.list("/apis/storage.k8s.io/v1/storageclasses")
        if item["metadata"].get("annotations", {}).get("storageclass.kubernetes.io/is-default-class") == "true"
    ]  # fmt: skip
    name = f"{waiter.name}-{mode}".lower()
    return obj(CLASS, "StorageClass", name, provisioner=default["provisioner"], volumeBindingMode=mode)


def test_every_kind_becomes_ready(waiter, image):
    late = storage_class(waiter, "WaitForFirstConsumer")
    waiter.apply(late)
    late_claim = {"storageClassName": late["metadata"]["name"]}
    scaled = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    once = pod(image, "true", policy="Never")
    never_ready = {"exec": {"command": ["false"]}}  # else a pod may be seen ready before it has ended
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    statuses = waiter.wait(
        claim("mounted", **late_claim),  # before what mounts it, as a release applies them
        claim("for-later", **late_claim),
        workload("Deployment", "web", pod(image, volumes=["mounted"])),
        workload("Deployment", "paused", pod(image), paused=True),
        workload("ReplicaSet", "bare-set", pod(image)),
        workload("StatefulSet", "store", pod(image)),
        workload("DaemonSet", "agent", pod(image)),
        workload("DaemonSet", "nowhere", {**pod(image), "nodeSelector": {"no": "such"}}),
        obj("v1", "Pod", "lone", pod(image)),
        obj("v1", "Pod", "done", pod(image, "true", policy="Never", readinessProbe=never_ready)),
        job("migrate", once),
        job("suspended", once, suspend=True),
        obj(
            "batch/v1",
            "CronJob",
            "nightly",
            {"schedule": "0 2 * * *", "jobTemplate": {"spec": {"template": {"spec": once}}}},
        ),
        obj("v1", "Service", "web", {"selector": {"app": "web"}, "ports": [{"port": 80}]}),
        obj("networking.k8s.io/v1", "Ingress", "web", {"defaultBackend": backend}),
        obj(
            "policy/v1", "PodDisruptionBudget", "web", {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}
        ),
        obj("autoscaling/v2", "HorizontalPodAutoscaler", "web", {"maxReplicas": 1, "scaleTargetRef": scaled}),
        obj("v1", "Namespace", waiter.name),
        obj("v1", "ConfigMap", "settings", data={"LOG_LEVEL": "info"}),
    )
    assert {name: status for name, status in statuses.items() if status.state != "ready"} == {}
    reasons = ready(statuses)
    assert reasons["Deployment/web"] == reasons["StatefulSet/store"] == reasons["ReplicaSet/bare-set"] == "1/1 ready"
    assert reasons["Deployment/paused"] == "0/1 ready, paused"
    assert reasons["DaemonSet/nowhere"] == "0/0 ready, no node may take its pods"
    assert reasons["PersistentVolumeClaim/mounted"] == "bound"
    assert reasons["PersistentVolumeClaim/for-later"] == "waits for its first consumer"
    assert reasons["Job/migrate"] == "complete"
    assert reasons["Pod/done"] == "succeeded"


def test_an_update_that_somebody_else_drives_is_not_waited_for(waiter, image):
    def objects(mark):
        partition = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
        return [
            workload("StatefulSet", "parted", pod(image), mark, replicas=2, updateStrategy=partition),
            workload("StatefulSet", "by-hand", pod(image), mark, updateStrategy={"type": "OnDelete"}),
            workload("DaemonSet", "agent", pod(image), mark, updateStrategy={"type": "OnDelete"}),
        ]

    assert len(ready(waiter.wait(*objects("1")))) == 3
    reasons = ready(waiter.wait(*objects("2")))
    assert reasons == {
        "StatefulSet/parted": "2/2 ready, 1/1 updated (partition 1)",
        "StatefulSet/by-hand": "1/1 ready, 1 updated when deleted",
        "DaemonSet/agent": "1/1 ready, 1 updated when deleted",
    }


def test_a_load_balancer_is_awaited_and_says_so(waiter):
    public = load_balancer()
    address = {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}
    waiter.reactions["no load balancer address yet"] = lambda: waiter.patch_status(public, **address)
    statuses = waiter.wait(public)
    assert statuses["Service/public"].reason == "192.0.2.7"
    assert statuses["Service/public"].trail == ["no load balancer address yet", "192.0.2.7"]


def test_a_load_balancer_that_never_comes_says_what_was_missing(waiter):
    status = waiter.wait(load_balancer(), timeout=2)["Service/public"]
    assert (status.state, status.reason) == ("progressing", f"no load balancer address yet: {UNSEEN}")
    assert status.why == "nothing in the cluster has given the Service an address"
    assert "NodePort" in status.way_out


def definition(waiter, kind="Widget"):
    group, plural = f"{waiter.name}.example.dev", f"{kind.lower()}s"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema, "subresources": {"status": {}}}
    names = {"kind": kind, "plural": plural, "singular": kind.lower()}
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
    return obj("apiextensions.k8s.io/v1", "CustomResourceDefinition", f"{plural}.{group}", spec)


def condition(kind, status, **more):
    return {"type": kind, "status": status, "reason": "Because", "message": "of this", **more}


@pytest.fixture
def widget(waiter):
    """A custom resource of a kind that this test defines."""
    defined = waiter.wait(definition(waiter))
    assert list(ready(defined).values()) == ["established"]
    return obj(f"{waiter.name}.example.dev/v1", "Widget", "demo", {"size": 1})


def test_a_custom_resource_is_awaited_by_its_conditions(waiter, widget):
    waiter.apply(widget)
    waiter.patch_status(widget, observedGeneration=1, conditions=[condition("Ready", "False")])
    ready_now = [condition("Ready", "True")]
    waiter.reactions["Because: of this"] = lambda: waiter.patch_status(
        widget, observedGeneration=2, conditions=ready_now
    )
    status = waiter.wait({**widget, "spec": {"size": 1}})["Widget/demo"]
    assert status.state == "ready"
    assert status.trail == ["Because: of this", "ready"]


def test_what_the_controller_said_of_an_older_generation_does_not_count(waiter, widget):
    waiter.apply(widget)
    waiter.patch_status(widget, observedGeneration=1, conditions=[condition("Ready", "True")])
    waiter.reactions["not seen by its controller yet"] = lambda: waiter.patch_status(widget, observedGeneration=2)
    status = waiter.wait({**widget, "spec": {"size": 2}})["Widget/demo"]
    assert status.state == "ready"
    assert status.trail[0] == "not seen by its controller yet"


def test_a_stalled_custom_resource_ends_the_wait(waiter, widget):
    waiter.apply(widget)
    waiter.patch_status(widget, observedGeneration=1, conditions=[condition("Reconciling", "True")])
    stalled = [condition("Reconciling", "False"), condition("Stalled", "True")]
    waiter.reactions["Because: of this"] = lambda: waiter.patch_status(widget, observedGeneration=1, conditions=stalled)
    status = waiter.wait({**widget})["Widget/demo"]
    assert (status.state, status.reason) == ("failed", "Because: of this")
    assert status.seconds < MAX_WAIT_S / 2
