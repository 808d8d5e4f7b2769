# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The resources that a release requests, and the objects that it refers to, as preflight looks them up."""

from __future__ import annotations

from decimal import Decimal

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects import _references, _resource_requests
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.preflight import (
    _check_access,
)
from ansible_collections.llm_devops.memory_graph.tests.unit.plugins.module_utils.preflight.contexts import (
    asking,
    context_of,
    messages,
    workload,
)


def test_what_an_autoscaler_scales_asks_for_the_least_it_keeps():
    metadata = {"name": "web", "namespace": "demo"}
    target = {"kind": "Deployment", "name": "web"}
    objects = [
        {"kind": "Deployment", "metadata": metadata, "spec": {"template": {"spec": {"containers": []}}}},
        {"kind": "HorizontalPodAutoscaler", "metadata": metadata, "spec": {"scaleTargetRef": target, "minReplicas": 3}},
    ]
    assert [item.replicas for item in _resource_requests.pods(objects)] == [3]
    assert [item.replicas for item in _resource_requests.pods(objects[:1])] == [1]


def test_pods_are_counted_as_the_scheduler_does():
    """Sidecars run beside the containers, other init containers before them, and a RuntimeClass adds its own."""
    spec = {
        "initContainers": [
            {"name": "first", "resources": asking("3", "1Gi")},
            {"name": "side", "restartPolicy": "Always", "resources": asking("1", "1Gi")},
        ],
        "containers": [{"name": "main", "resources": asking("1", "1Gi")}],
        "overhead": {"cpu": "250m"},
    }
    requests = _resource_requests.of_pod(spec)
    assert requests["requests.cpu"] == Decimal("3.25")
    assert requests["requests.memory"] == 2 * 1024**3


def test_references_know_everything_a_pod_needs():
    spec = {
        "serviceAccountName": "runner",
        "priorityClassName": "high",
        "runtimeClassName": "gvisor",
        "imagePullSecrets": [{"name": "pull"}],
        "volumes": [
            {"name": "a", "persistentVolumeClaim": {"claimName": "disk"}},
            {"name": "b", "secret": {"secretName": "maybe", "optional": True}},
            {"name": "c", "projected": {"sources": [{"configMap": {"name": "part"}}]}},
        ],
    }
    environment = [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "a"}}}]
    ingress = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "web"},
        "spec": {"ingressClassName": "nginx"},
    }
    references = _references.outside([workload(pod=spec, env=environment), ingress])
    assert {(item.kind, item.name, item.vital) for item in references} == {
        ("ServiceAccount", "runner", True),
        ("PriorityClass", "high", True),
        ("RuntimeClass", "gvisor", True),
        ("Secret", "pull", False),
        ("PersistentVolumeClaim", "disk", True),
        ("ConfigMap", "part", True),
        ("Secret", "keys", True),
        ("IngressClass", "nginx", True),
    }


@pytest.mark.parametrize(
    ("data", "problems"),
    [
        ({"username": "bmVv", "password": "c2VjcmV0"}, []),
        ({"username": "bmVv"}, ["Deployment/api needs password of Secret 'keys' in home, which has it not"]),
        ({}, ["Deployment/api needs password, username of Secret 'keys' in home, which has it not"]),
    ],
    ids=["whole", "without the password", "empty"],
)
def test_a_secret_has_the_keys_that_are_asked_for(data, problems):
    environment = [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "username"}}}]
    volume = {"name": "v", "secret": {"secretName": "keys", "items": [{"key": "password", "path": "password"}]}}
    answers = {"/api/v1/namespaces/home/secrets/keys": {"data": data}}
    context = context_of(workload(env=environment, pod={"volumes": [volume]}), answers=answers)
    _check_access.references(context)
    assert messages(context.problems) == problems


@pytest.mark.parametrize(
    "maker",
    [
        {"kind": "ExternalSecret", "metadata": {"name": "any"}, "spec": {"target": {"name": "keys"}}},
        {"kind": "SealedSecret", "metadata": {"name": "keys"}},
        {"kind": "Secret", "metadata": {"name": "keys"}},
        {"kind": "Certificate", "metadata": {"name": "any"}, "spec": {"secretName": "keys"}},
    ],
)
def test_references_that_somebody_makes_are_not_missing(maker):
    environment = [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "a"}}}]
    placed = {**maker, "metadata": {**maker["metadata"], "namespace": "home"}}
    assert _references.outside([workload(env=environment), placed]) == []
