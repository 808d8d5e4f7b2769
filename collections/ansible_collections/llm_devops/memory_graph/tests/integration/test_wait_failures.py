# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Waiting, against the real API server of KUBECONFIG: objects that do not become ready say why."""

from __future__ import annotations

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import connect
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

FAILURES = {
    "a job": (
        lambda image: job("x", pod(image, "sh", "-c", "echo newer schema; exit 2", policy="Never"), backoffLimit=0),
        "BackoffLimitExceeded: ",
        "its pods ended in failure: container main ended with exit code 2",
        ["newer schema"],
    ),
    "a pod that ends": (
        lambda image: obj("v1", "Pod", "x", pod(image, "sh", "-c", "echo no; exit 5", policy="Never")),
        "the pod failed",
        "container main ended with exit code 5",
        ["no"],
    ),
    "a pod without an image": (
        lambda _image: obj("v1", "Pod", "x", pod("no:such", imagePullPolicy="Never")),
        "ErrImageNeverPull: no:such",
        "imagePullPolicy is Never and the node does not have the image",
        [],
    ),
    "a job without an image": (
        lambda _image: job("x", pod("no:such", imagePullPolicy="Never", policy="Never")),
        "ErrImageNeverPull: no:such",
        "imagePullPolicy is Never and the node does not have the image",
        [],
    ),
    "a daemon set without an image": (
        lambda _image: workload("DaemonSet", "x", pod("no:such", imagePullPolicy="Never")),
        "ErrImageNeverPull: no:such",
        "imagePullPolicy is Never and the node does not have the image",
        [],
    ),
    "a program that ends at once, without a readiness probe": (
        lambda image: workload("Deployment", "x", pod(image, "sh", "-c", "echo cannot start; exit 3")),
        "CrashLoopBackOff: container main ended 3 times (exit code 3)",
        "the program ends right after it starts",
        ["cannot start"],
    ),
    "a claim without a class": (
        lambda _image: claim("x", storageClassName=""),
        "FailedBinding: ",
        "it names no storage class and the cluster has no default one, and no PersistentVolume fits",
        [],
    ),
    "a claim of a volume that is not there, of a class that waits for a pod": (
        lambda _image: claim("x", volumeName="no-such"),
        "PersistentVolume no-such does not exist",
        "the claim asks for it by volumeName, and so gets no other one",
        [],
    ),
    "a claim from a template, of a class that is not there": (
        lambda image: workload(
            "StatefulSet", "x", pod(image), volumeClaimTemplates=[claim("data", storageClassName="no-such")]
        ),
        'storageclass.storage.k8s.io "no-such" not found',
        "its storage class does not exist",
        [],
    ),
}


OF_PROGRAMS = {name for name, (_make, _reason, _why, log) in FAILURES.items() if log}


@pytest.mark.parametrize(
    "name", [pytest.param(item, marks=pytest.mark.containers if item in OF_PROGRAMS else ()) for item in FAILURES]
)
def test_what_cannot_heal_ends_the_wait_at_once(waiter, image, name):
    make, reason, why, log = FAILURES[name]
    (status,) = waiter.wait(make(image)).values()
    assert status.state == "failed", status
    assert reason in status.reason
    assert status.why == why
    assert status.log == log
    assert status.seconds < MAX_WAIT_S / 2


@pytest.mark.containers
def test_a_probe_that_fails_is_said_once_while_it_does(waiter, image):
    probe = {"exec": {"command": ["sh", "-c", "echo no database; exit 1"]}, "periodSeconds": 1, "timeoutSeconds": 9}
    web = workload("Deployment", "web", pod(image, "sh", "-c", "echo asking; sleep infinity", readinessProbe=probe))
    status = waiter.wait(web, timeout=15)["Deployment/web"]
    assert status.reason == "0/1 not ready: Readiness probe failed: no database"
    assert status.log == ["asking"]
    assert [line for line in waiter.progress_lines if "Readiness" in line] == [f"Deployment/web  {status.reason}"]


def powerless(waiter, *rules):
    """Return a connection of a service account that has these rights in the namespace, and no others."""
    named = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "weak", "namespace": waiter.name}}
    subject = {"kind": "ServiceAccount", "name": "weak", "namespace": waiter.name}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "weak"}
    binding = {**named, "kind": "RoleBinding", "roleRef": role, "subjects": [subject]}
    account = obj("v1", "ServiceAccount", "weak")
    waiter.apply(account, {**named, "kind": "Role", "rules": list(rules)}, binding)
    path = f"/api/v1/namespaces/{waiter.name}/serviceaccounts/weak/token"
    return connect({"api_key": waiter.cluster.request("POST", path, None, {"spec": {}})["status"]["token"]})


def test_without_the_right_to_see_pods_only_the_reasons_are_missing(waiter, image):
    weak = powerless(waiter, {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list", "watch"]})
    assert ready(waiter.wait(workload("Deployment", "web", pod(image)), cluster=weak)) == {
        "Deployment/web": "1/1 ready"
    }
    broken = workload("Deployment", "web", pod("no:such", imagePullPolicy="Never"))
    status = waiter.wait(broken, cluster=weak, timeout=3)["Deployment/web"]
    assert status.state == "progressing"
    assert any("weak may not watch pods in namespace" in line for line in status.events)


def test_without_the_right_to_watch_an_object_the_wait_says_so(waiter):
    weak = powerless(waiter)
    status = waiter.wait(load_balancer(), cluster=weak)["Service/public"]
    assert status.state == "failed"
    assert f"weak may not watch services in namespace {waiter.name}" in status.reason
