# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Waits for what cannot heal, against the real API server of KUBECONFIG."""

from __future__ import annotations

import pytest
from ansible_collections.llm_devops.memory_graph.tests.integration.test_wait import (  # noqa: F401  # pylint: disable=unused-import
    LONG,
    claim,
    image,
    job,
    obj,
    pod,
    sandbox,
    workload,
)

FAILURES = {
    "a job": (
        lambda busybox: job("x", pod(busybox, "sh", "-c", "echo newer schema; exit 2", policy="Never"), backoffLimit=0),
        "BackoffLimitExceeded: ",
        "its pods ended in failure: container main ended with exit code 2",
        ["newer schema"],
    ),
    "a pod that ends": (
        lambda busybox: obj("v1", "Pod", "x", pod(busybox, "sh", "-c", "echo no; exit 5", policy="Never")),
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
        lambda busybox: workload("Deployment", "x", pod(busybox, "sh", "-c", "echo cannot start; exit 3")),
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
        lambda busybox: workload(
            "StatefulSet", "x", pod(busybox), volumeClaimTemplates=[claim("data", storageClassName="no-such")]
        ),
        'storageclass.storage.k8s.io "no-such" not found',
        "its storage class does not exist",
        [],
    ),
}


OF_PROGRAMS = {name for name, (_make, _reason, _why, log) in FAILURES.items() if log}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(image_entry, marks=pytest.mark.containers if image_entry in OF_PROGRAMS else ())
        for image_entry in FAILURES
    ],
)
def test_what_cannot_heal_ends_the_wait_at_once(sandbox, image, name):  # noqa: F811
    make, reason, why, log = FAILURES[name]
    (status,) = sandbox.wait(make(image)).values()
    assert status.state == "failed", status
    assert reason in status.reason
    assert status.why == why
    assert status.log == log
    assert status.seconds < LONG / 2
