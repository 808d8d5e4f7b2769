# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Waits that end whatever others write or delete, against the real API server of KUBECONFIG."""

from __future__ import annotations

import json

import pytest
from ansible_collections.llm_devops.memory_graph.tests.integration.waiter import (
    job,
    obj,
    pod,
    ready,
    workload,
)


@pytest.mark.parametrize(
    ("command", "state", "reason"),
    [
        ("true", "ready", "complete"),
        pytest.param("exit 3", "failed", "BackoffLimitExceeded: ", marks=pytest.mark.containers),
    ],
)
def test_a_job_that_is_deleted_as_soon_as_it_ends(waiter, image, command, state, reason):
    once = pod(image, "sh", "-c", command, policy="Never")
    status = waiter.wait(job("x", once, backoffLimit=0, ttlSecondsAfterFinished=0))["Job/x"]
    assert status.state == state, status
    assert status.reason.startswith(reason)
    assert state == "ready" or status.why == "its pods ended in failure: container main ended with exit code 3"


def test_an_autoscaler_of_the_first_version_becomes_ready(waiter, image):
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"maxReplicas": 2, "scaleTargetRef": target, "targetCPUUtilizationPercentage": 80}
    statuses = waiter.wait(
        workload("Deployment", "web", pod(image)), obj("autoscaling/v1", "HorizontalPodAutoscaler", "x", spec)
    )
    assert set(ready(statuses)) == {"Deployment/web", "HorizontalPodAutoscaler/x"}


@pytest.mark.containers
def test_an_object_that_is_deleted_meanwhile_ends_the_wait_by_name(waiter, image):
    public = obj("v1", "Service", "public", {"type": "LoadBalancer", "ports": [{"port": 80}]})
    unready = workload("Deployment", "web", pod(image, readinessProbe={"exec": {"command": ["false"]}}))
    path = f"/apis/apps/v1/namespaces/{waiter.name}/deployments/web"
    waiter.reactions["Deployment/web"] = lambda: waiter.cluster.delete(path)
    statuses = waiter.wait(public, unready)
    assert statuses["Deployment/web"].reason == "deleted while it was waited for"
    assert statuses["Service/public"].state == "progressing"


STATUSES = [
    {"observedGeneration": "7c5bdc4f9", "phase": "Healthy"},
    "Active",
    ["Active"],
    7,
    {"conditions": {"Ready": "True"}},
    {"conditions": ["Ready"]},
    {"conditions": None},
]


@pytest.fixture
def widgets(waiter):
    """The API version of a custom kind whose status may have any shape."""
    group = f"{waiter.name}.example"
    anything = {"x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": {"type": "object", **anything}, "status": anything}}
    version = {"name": "v1", "served": True, "storage": True, "subresources": {"status": {}},
               "schema": {"openAPIV3Schema": schema}}  # fmt: skip
    names = {"kind": "Widget", "plural": "widgets", "singular": "widget"}
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
    waiter.wait(obj("apiextensions.k8s.io/v1", "CustomResourceDefinition", f"widgets.{group}", spec))
    return f"{group}/v1"


def test_a_status_of_its_own_shape_is_no_crash(waiter, widgets):
    widget = obj(widgets, "Widget", "x", {"replicas": "three", "volumeClaimTemplates": "none"})
    path = f"/apis/{widgets}/namespaces/{waiter.name}/widgets/x/status"
    assert set(ready(waiter.wait(widget))) == {"Widget/x"}
    for status in STATUSES:
        patch = json.dumps([{"op": "add", "path": "/status", "value": status}])
        waiter.cluster.request("PATCH", path, None, json.loads(patch), "application/json-patch+json")
        assert set(ready(waiter.wait(widget))) == {"Widget/x"}, status
