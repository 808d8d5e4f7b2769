# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""One deployment of a release at a time."""

from __future__ import annotations

import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ClusterError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import connect
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release import _lease
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._result import failure_text

LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"


def lease(sandbox):
    return sandbox.cluster.find(_lease.path("demo", sandbox.name))


def held(sandbox, identity="bob@laptop process 7 (cafe)", duration=20):
    """Create the Lease of a holder that never renews it; its times are those of a wrong clock."""
    spec = {"holderIdentity": identity, "leaseDurationSeconds": duration, "acquireTime": "2031-01-01T00:00:00.000000Z",
            "renewTime": "2001-01-01T00:00:00.000000Z"}  # fmt: skip
    body = {"metadata": {"name": "demo-release"}, "spec": spec}
    return sandbox.cluster.request("POST", LEASES.format(sandbox.name), None, body)


def stolen(sandbox):
    live = lease(sandbox)
    live["spec"]["holderIdentity"] = "bob@laptop process 7 (cafe)"
    sandbox.cluster.request("PUT", _lease.path("demo", sandbox.name), None, live)


def test_nothing_is_left_of_the_lock_after_a_run(sandbox):
    sandbox.release(sandbox.config())
    assert lease(sandbox) is None
    sandbox.run().absent()
    assert lease(sandbox) is None


def test_a_second_deployment_is_refused_at_once_with_who_holds_it(sandbox):
    sandbox.release(sandbox.config(a="1"))
    held(sandbox)
    for start in (
        lambda: sandbox.release(sandbox.config(a="2")),
        lambda: sandbox.release(revision=1),
        sandbox.run().absent,
    ):
        with pytest.raises(_lease.LeaseHeld) as refused:
            start()
        assert f"bob@laptop process 7 (cafe) is deploying demo in {sandbox.name} since 2031-01-01T00:00:00Z" in str(
            refused.value
        )
        assert "lock_timeout" in refused.value.way_out
    assert sandbox.get("configmaps/settings")["data"] == {"a": "1"}
    assert lease(sandbox)["spec"]["holderIdentity"] == "bob@laptop process 7 (cafe)"


def test_check_mode_needs_no_lock(sandbox):
    sandbox.release(sandbox.config(a="1"))
    held(sandbox)
    assert sandbox.release(sandbox.config(a="2"), check=True).differs


def test_a_lock_that_is_given_back_is_waited_for(sandbox):
    sandbox.release(sandbox.config(a="1"))
    held(sandbox)
    waiting = threading.Event()
    run = sandbox.run(sandbox.config(a="2"), lock_timeout=60)
    run.progress = lambda label, text: waiting.set() if label == "lock" else None
    with ThreadPoolExecutor() as pool:
        outcome = pool.submit(run.present)
        assert waiting.wait(30)
        sandbox.cluster.delete(_lease.path("demo", sandbox.name))
        assert outcome.result().record.revision == 2
    assert "bob@laptop process 7 (cafe) deploys demo since 2031-01-01T00:00:00Z; waiting for it" in [
        line["text"] for line in run.outcome.report
    ]


def test_the_lock_of_a_holder_that_crashed_is_taken_over(sandbox):
    sandbox.release(sandbox.config(a="1"))
    held(sandbox, duration=1)
    assert sandbox.release(sandbox.config(a="2"), lock_timeout=60).record.revision == 2
    assert any(line.startswith("lock taken over from bob@laptop process 7 (cafe)") for line in sandbox.progress_lines)
    assert lease(sandbox) is None


def test_a_renewal_moves_the_time_the_server_wrote(sandbox):
    sandbox.release(sandbox.config())
    with _lease.Lease(connect({}), "demo", sandbox.name, lambda *_line: None) as ours:
        ours.acquire(0)
        first = _lease.renewed(lease(sandbox))
        while _lease.renewed(lease(sandbox)) == first:
            ours._renew()
        assert not _lease.expired(lease(sandbox), ours._now(lease(sandbox)))
        assert _lease.expired(
            lease(sandbox), ours._now(lease(sandbox)) + dt.timedelta(seconds=_lease.LEASE_DURATION_S + 1)
        )


def test_a_run_that_lost_its_lock_stops_before_its_next_write(sandbox, monkeypatch):
    """The lock is lost after the plan; nothing is written from there on, not even the record."""
    monkeypatch.setattr(_lease, "MAX_RENEWAL_AGE_S", -1.0)
    sandbox.release(sandbox.config(a="1"))
    run = sandbox.run(sandbox.config(a="2"))
    run.progress = lambda label, _text: stolen(sandbox) if label == "plan" else None
    text = failure_text(run.present())
    assert "this run has lost its lock on demo" in text
    assert "bob@laptop process 7 (cafe) has taken it" in text
    assert "Nothing was written." in text
    assert sandbox.get("configmaps/settings")["data"] == {"a": "1"}
    assert lease(sandbox)["spec"]["holderIdentity"] == "bob@laptop process 7 (cafe)"


def test_a_lock_lost_while_waiting_keeps_the_record_of_the_other(sandbox, monkeypatch):
    monkeypatch.setattr(_lease, "MAX_RENEWAL_AGE_S", -1.0)
    sandbox.release(sandbox.config(a="1"))
    run = sandbox.run(sandbox.config(a="2"))
    run.progress = lambda label, _text: stolen(sandbox) if label == "apply" else None
    text = failure_text(run.present())
    assert "this run has lost its lock on demo" in text
    assert "1 of 1 objects that differ were written" in text
    assert sandbox.release(sandbox.config(a="2"), check=True).record.state == "pending"


def test_a_deleted_lock_is_a_lost_one(sandbox, monkeypatch):
    monkeypatch.setattr(_lease, "MAX_RENEWAL_AGE_S", -1.0)
    sandbox.release(sandbox.config(a="1"))
    run = sandbox.run(sandbox.config(a="2"))
    run.progress = lambda *_line: sandbox.cluster.delete(_lease.path("demo", sandbox.name))
    assert "its Lease was deleted" in failure_text(run.present())


def test_two_first_deployments_do_not_interleave(sandbox):
    """Both start without a namespace and complete one after the other; the objects of the later one remain."""
    gate = threading.Barrier(2)

    def first(name):
        run = sandbox.run(sandbox.config(name), sandbox.config(f"{name}-too"), lock_timeout=60)
        run.progress = lambda label, _text: gate.wait(30) if label == "plan" and not run.lease.held else None
        return run.present()

    with ThreadPoolExecutor() as pool:
        outcomes = list(pool.map(first, ["left", "right"]))
    assert [outcome.failures for outcome in outcomes] == [[], []]
    assert sorted(outcome.record.revision for outcome in outcomes) == [1, 2]
    last = max(outcomes, key=lambda outcome: outcome.record.revision)
    names = {item.ref.name for item in last.record.members if item.ref.kind == "ConfigMap"}
    assert {name for name in sandbox.names("configmaps") if name != "kube-root-ca.crt"} == names
    assert names in ({"left", "left-too"}, {"right", "right-too"})


def test_without_a_lock_timeout_one_of_two_first_deployments_is_refused(sandbox):
    gate = threading.Barrier(2)

    def first(name):
        run = sandbox.run(sandbox.config(name))
        hold = threading.Event()

        def progress(label, _text):
            if label == "plan" and not run.lease.held:
                gate.wait(30)
            if label == "apply":  # with the lock, until the other one was refused
                hold.set()
                refused.wait(30)

        run.progress = progress
        try:
            return run.present()
        except ClusterError as error:
            refused.set()
            return error

    refused = threading.Event()
    with ThreadPoolExecutor() as pool:
        outcomes = list(pool.map(first, ["left", "right"]))
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["LeaseHeld", "Outcome"]
    assert len([name for name in sandbox.names("configmaps") if name != "kube-root-ca.crt"]) == 1
