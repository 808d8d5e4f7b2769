# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Releases whose pods do not start, against the real API server of KUBECONFIG: the wait ends early and says why."""

from __future__ import annotations

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._result import failure_text
from ansible_collections.llm_devops.memory_graph.tests.integration.sandbox import pause_image, workload


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_an_image_that_is_not_there_ends_the_wait_at_once(sandbox, kind):
    outcome = sandbox.release(workload(kind, "none.invalid/none:1", imagePullPolicy="Never"))
    assert "ErrImageNeverPull" in failure_text(outcome)
    assert outcome.timings["wait"] < 60  # of 120: not the timeout
    assert outcome.record.state == "failed"


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_a_good_image_follows_a_broken_one(sandbox, kind):
    """A StatefulSet never replaces a pod that never became ready; the release does."""
    assert sandbox.release(workload(kind, "none.invalid/none:1", imagePullPolicy="Never")).failures
    mended = sandbox.release(workload(kind, pause_image(sandbox.cluster), imagePullPolicy="Never"))
    assert not mended.failures
    assert [status.reason for status in mended.statuses if status.ref.kind == kind] == ["1/1 ready"]
    again = sandbox.release(workload(kind, pause_image(sandbox.cluster), imagePullPolicy="Never"))
    assert not again.differs
    assert not again.written


def test_what_still_serves_is_said(sandbox):
    """A Deployment keeps its ready pods until new ones are ready; before the first ready pod there is none to keep."""
    broken = workload(image="none.invalid/none:1", imagePullPolicy="Never")
    assert "kept" not in failure_text(sandbox.release(broken))
    assert not sandbox.release(workload(image=pause_image(sandbox.cluster), imagePullPolicy="Never")).failures
    for _again in range(2):
        assert "\n  kept     revision 2 still serves 1/1; rollback: " in failure_text(sandbox.release(broken))


def test_nothing_serves_once_a_stateful_set_has_replaced_its_pod(sandbox):
    assert not sandbox.release(workload("StatefulSet", pause_image(sandbox.cluster), imagePullPolicy="Never")).failures
    outcome = sandbox.release(workload("StatefulSet", "none.invalid/none:1", imagePullPolicy="Never"))
    assert outcome.failures
    assert "kept" not in failure_text(outcome)


@pytest.mark.containers
def test_a_missing_secret_is_named(sandbox):
    options = {"imagePullPolicy": "Never", "envFrom": [{"secretRef": {"name": "no-such"}}]}
    outcome = sandbox.release(workload(image=pause_image(sandbox.cluster), **options))
    assert 'secret "no-such" not found' in failure_text(outcome)


@pytest.mark.containers
def test_a_crash_loop_shows_exit_code_and_ends_the_wait(sandbox):
    probe = {"tcpSocket": {"port": 1}, "periodSeconds": 1, "failureThreshold": 1}
    crashing = workload(image=pause_image(sandbox.cluster), imagePullPolicy="Never", livenessProbe=probe)
    crashing["spec"]["minReadySeconds"] = 60
    outcome = sandbox.release(crashing)
    assert "CrashLoopBackOff" in failure_text(outcome)
    assert "exit code" in failure_text(outcome)


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_a_quota_without_room_ends_the_wait_at_once(sandbox, kind):
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team"}, "spec": {"hard": {"pods": "0"}}}
    sandbox.release(quota)
    outcome = sandbox.release(quota, workload(kind))
    assert "exceeded quota: team" in failure_text(outcome)
    assert "ResourceQuota" in failure_text(outcome)
    assert outcome.timings["wait"] < 60


def test_too_large_a_pod_is_said_to_be_unschedulable(sandbox):
    outcome = sandbox.release(workload(resources={"requests": {"cpu": "1000"}}))
    assert "Insufficient cpu" in failure_text(outcome)
    assert outcome.timings["wait"] < 60
