# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Preflight against a real cluster: what it calls a problem, the cluster then really refuses, or leaves standing."""

from __future__ import annotations

import json

from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._manifest import prepared
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.preflight._preflight import (
    CHECKS,
    Preflight,
    table,
)


def preflight(sandbox, *objects):
    result = Preflight(
        sandbox.cluster, sandbox.name, prepared([sandbox.namespace, *objects], "demo", sandbox.name), "demo"
    )
    result.run()
    return result


def messages(findings):
    return {item["check"]: item["message"] for item in findings}


def workload(replicas=1, kind="Deployment", pod=None, **container):
    labels = {"app": "demo"}
    spec = {"containers": [{"name": "main", "image": "nowhere.invalid/none:1", **container}], **(pod or {})}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "demo"},
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}}  # fmt: skip


def test_nothing_is_wrong_with_little(sandbox):
    result = preflight(sandbox, sandbox.config())
    assert (result.problems, result.notes) == ([], [])
    assert {item["check"] for item in result.passed} == {"api", *dict(CHECKS)}


def test_everything_is_told_at_once_and_nothing_written(sandbox):
    autoscaler = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "demo"},
                  "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "demo"},
                           "metrics": [{"type": "External", "external": {}}]}}  # fmt: skip
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "shared"},
             "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Mi"}}}}  # fmt: skip
    secured = {**sandbox.namespace, "metadata": {"name": sandbox.name, "labels": {
        "pod-security.kubernetes.io/enforce": "baseline"}}}  # fmt: skip
    pod = {"nodeSelector": {"of-no-node": "true"}, "hostNetwork": True, "serviceAccountName": "nobody",
           "priorityClassName": "no-such-class", "imagePullSecrets": [{"name": "no-such-secret"}]}  # fmt: skip
    unknown = {"apiVersion": "example.org/v1", "kind": "Pancake", "metadata": {"name": "one"}}
    objects = [secured, workload(pod=pod, imagePullPolicy="Never"), claim, autoscaler, unknown]
    result = Preflight(sandbox.cluster, sandbox.name, prepared(objects, "demo", sandbox.name), "demo")
    result.run()
    problems = messages(result.problems)
    assert problems["kinds"] == "the cluster does not know Pancake of example.org/v1"
    assert problems["storage"] == "class 'standard' has no ReadWriteMany for shared"
    assert "level baseline: hostNetwork: false" in problems["admission"]
    assert problems["capacity"].endswith("no node matches its node selector of-no-node=true")
    references = {item["message"] for item in result.problems if item["check"] == "references"}
    assert f"Deployment/demo needs ServiceAccount 'nobody' in {sandbox.name}, which does not exist" in references
    assert "Deployment/demo needs PriorityClass 'no-such-class', which does not exist" in references
    assert "no-such-secret" in messages(result.notes)["references"]
    assert "no API external.metrics.k8s.io" in messages(result.notes)["metrics"]
    assert all(item["way_out"] for item in result.problems)
    assert sandbox.cluster.find(f"/api/v1/namespaces/{sandbox.name}") is None
    assert table(result.problems, result.notes, result.passed).count("✗") == len(result.problems)


def test_image_that_is_never_pulled_must_be_on_a_node(sandbox):
    missing = preflight(sandbox, workload(imagePullPolicy="Never"))
    assert "never pulls image nowhere.invalid/none:1" in messages(missing.problems)["images"]
    nodes = list(sandbox.cluster.list("/api/v1/nodes"))
    names = [name for image in nodes[0]["status"]["images"] for name in image["names"] if "@" not in name]
    present = preflight(sandbox, workload(imagePullPolicy="Never", image=names[0]))
    assert "images" not in messages(present.problems)


def test_a_pod_that_fits_on_no_node_is_never_scheduled(sandbox):
    node = next(iter(sandbox.cluster.list("/api/v1/nodes")))
    memory = int(node["status"]["allocatable"]["memory"].removesuffix("Ki")) * 1024
    larger = workload(resources={"requests": {"memory": str(2 * memory)}})
    message = messages(preflight(sandbox, larger).problems)["capacity"]
    assert message.startswith("a pod of Deployment/demo requests memory ")
    sandbox.release(larger, wait=False)
    response = sandbox.cluster.stream(sandbox.path("pods"), {"watch": "1", "timeoutSeconds": 60})
    pods = (json.loads(line)["object"] for line in response)
    conditions = (condition for pod in pods for condition in pod["status"].get("conditions") or [])
    assert next(item["reason"] for item in conditions if item["type"] == "PodScheduled") == "Unschedulable"
    response.close()


def test_same_release_again_passes_where_it_just_fits(sandbox):
    limits = {"limits": {"memory": "64Mi"}}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "own"},
             "spec": {"hard": {"limits.memory": "128Mi", "pods": "2"}}}  # fmt: skip
    objects = [quota, workload(2, resources=limits)]
    assert "quota" not in messages(preflight(sandbox, *objects).problems)
    sandbox.release(*objects, wait=False)
    again = preflight(sandbox, *objects)
    assert "quota" not in messages(again.problems)
    assert "a rolling update needs" in messages(again.notes)["quota"]


def test_preflight_reports_everything_at_once(sandbox):
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team"},
             "spec": {"hard": {"limits.memory": "8Gi"}}}  # fmt: skip
    container = {"envFrom": [{"secretRef": {"name": "no-such"}}], "resources": {"limits": {"memory": "4Gi"}}}
    unknown = {"apiVersion": "example.dev/v1", "kind": "Unknown", "metadata": {"name": "x"}}
    problems = messages(preflight(sandbox, quota, workload(3, image="demo:latest", **container), unknown).problems)
    assert {"quota", "images", "references", "kinds"} <= set(problems)
    assert problems["quota"] == "limits.memory would be 12Gi, ResourceQuota 'team' leaves 8Gi"
    assert sandbox.cluster.find(f"/api/v1/namespaces/{sandbox.name}") is None


def test_preflight_does_not_count_what_an_update_already_has(sandbox):
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team"},
             "spec": {"hard": {"limits.memory": "64Mi"}}}  # fmt: skip
    stateful_set = workload(kind="StatefulSet", resources={"limits": {"memory": "64Mi"}})
    stateful_set["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "somebody"}
    stateful_set["spec"]["serviceName"] = "demo"
    sandbox.release(quota, stateful_set)
    assert sandbox.get("resourcequotas/team")["status"]["used"]["limits.memory"] == "64Mi"
    assert "quota" not in messages(preflight(sandbox, quota, stateful_set).problems)
