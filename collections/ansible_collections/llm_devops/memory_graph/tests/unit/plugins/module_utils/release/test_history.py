# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The memory of a release: revisions and their stored objects, the way back, the lock. No API server."""

from __future__ import annotations

import base64
import datetime as dt
import json
import os
import signal
import zlib

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ClusterError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import FIELD_MANAGER
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._manifest import ref
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release import (
    _history,
    _lease,
    _redacted,
    _revisions,
    _rollback,
    _signals,
)
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._run import Outcome
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release._step import Step
from hypothesis import given
from hypothesis import strategies as st

KEY = b"k" * 32
values = st.text("0123456789XYZ", min_size=9, max_size=40)
names = st.text("abcdefgh", min_size=1, max_size=6)


def record(*states):
    record_made = _history.ReleaseRecord("demo", "ns")
    for number, state in enumerate(states, start=1):
        record_made = _history.advanced(record_made, number, state, "digest", [], parts=1, limit=3)
    return record_made


def secret(data, **metadata):
    encoded = {name: base64.b64encode(value.encode()).decode() for name, value in data.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": "ns", **metadata},
        "data": encoded,
    }


def revisions(record_made):
    return [(item["revision"], item["state"]) for item in record_made.revisions]


def test_history_forgets_the_oldest():
    assert revisions(record("deployed", "deployed", "deployed", "deployed")) == [
        (2, "deployed"), (3, "deployed"), (4, "deployed"),
    ]  # fmt: skip


def test_history_never_forgets_the_last_deployed_revision():
    """However often one tried since: it is the one to go back to."""
    record_made = record("deployed", "deployed", "failed", "failed", "failed", "failed")
    assert revisions(record_made) == [(2, "deployed"), (4, "failed"), (5, "failed"), (6, "failed")]
    assert record_made.last_deployed == 2
    assert [item["revision"] for item in _revisions.dropped(record(*["deployed"] * 3), record(*["deployed"] * 5))] == [
        1, 2,
    ]  # fmt: skip


@given(st.lists(st.sampled_from(["deployed", "failed"]), min_size=1, max_size=30))
def test_remembered_revisions_never_share_a_slot_and_the_slots_are_few(states):
    slots = [item["slot"] for item in record(*states).revisions]
    assert len(set(slots)) == len(slots)
    assert set(slots) <= {1, 2, 3, 4}, "one more than the limit: the last deployed may stay beyond it"


def test_a_slot_taken_by_another_revision_is_none_of_this_one():
    record_made = record("deployed", "deployed")
    other = {"metadata": {"annotations": {_revisions.REVISION: "7"}}, "data": {}}
    cluster = type("Cluster", (), {"find": staticmethod(lambda path: other)})()
    assert _revisions.read(cluster, record_made, record_made.entry()) is None


def test_a_revision_that_goes_on_keeps_who_began_it():
    begun = _history.advanced(
        record("deployed"), 2, "pending", "new", [], deployed_by="alice", description="rollback to 1", parts=2
    )
    done = _history.advanced(begun, 2, "deployed", "new", [])
    assert (done.deployed_by, done.description, done.parts, done.state) == ("alice", "rollback to 1", 2, "deployed")
    read = _history.parsed(_history.manifest(done), "demo", "ns")
    assert (read.deployed_by, read.description, read.parts) == ("alice", "rollback to 1", 2)
    assert read.history[0]["parts"] == 1


def test_a_record_of_before_there_was_a_history_of_objects_is_read():
    old = _history.manifest(record("deployed", "deployed"))
    data = json.loads(base64.b64decode(old["data"]["release.json"]))
    for item in (data, *data["history"]):
        for name in ("who", "note", "parts"):
            del item[name]
    old["data"]["release.json"] = base64.b64encode(json.dumps(data).encode()).decode()
    assert [item["parts"] for item in _history.parsed(old, "demo", "ns").revisions] == [0, 0]


@given(st.dictionaries(names, values, min_size=1), st.binary(min_size=32))
def test_no_value_of_a_secret_is_kept(data, key):
    last_applied = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(data)}
    parts = _revisions.encoded([secret(data, annotations=last_applied)], key)
    text = zlib.decompress(b"".join(parts)).decode()
    assert not [value for value in data.values() if value in text]
    assert not [value for value in data.values() if base64.b64encode(value.encode()).decode() in text]


@given(st.lists(st.dictionaries(names, values), max_size=4))
def test_what_is_kept_is_read_back(contents):
    objects = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": str(number)}, "data": data}
        for number, data in enumerate(contents)
    ]
    stored = _revisions.decoded(_revisions.encoded(objects, KEY))
    assert [_redacted.restore(item, None, KEY).manifest for item in stored] == objects


def test_a_thousand_objects_fit_one_secret():
    container = {
        "name": "main",
        "image": "registry.invalid/some/service:1.2.3",
        "resources": {"requests": {"cpu": "1"}},
    }
    objects = [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": f"d{number}"},
         "spec": {"template": {"spec": {"containers": [container]}}}}
        for number in range(1000)
    ]  # fmt: skip
    assert len(_revisions.encoded(objects, KEY)) == 1


def test_what_eight_secrets_cannot_hold_is_not_kept():
    noise = os.urandom(_revisions.PART_BYTES * (_revisions.MAX_PARTS + 1))
    data = {"noise": base64.b64encode(noise).decode()}
    objects = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": data}]
    assert _revisions.encoded(objects, KEY) == []


def test_a_secret_comes_back_with_its_own_live_values():
    stored = _redacted.to_stored(secret({"a": "1", "b": "2", "gone": "3"}), KEY)
    live = secret({"a": "1", "b": "changed", "ours": "4", "theirs": "5"})
    entry = {"manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": {"f:data": {"f:a": {}, "f:ours": {}}}}
    live["metadata"]["managedFields"] = [entry]
    again = _redacted.restore(stored, live, KEY)
    assert again.manifest["data"] == {name: live["data"][name] for name in ("a", "b", "ours")}
    assert (again.missing, again.changed) == (["gone"], ["b", "ours"])


def test_a_value_is_told_by_its_content_and_not_by_its_base64():
    assert _redacted.value_hash("YWJj", KEY) == _redacted.value_hash("YWJj\n", KEY)
    assert _redacted.value_hash("YWJj", KEY) != _redacted.value_hash("YWJj", b"other")


def test_the_revision_before_is_the_last_that_was_deployed():
    assert _rollback.select_entry(record("deployed", "failed", "failed"), _rollback.PREVIOUS)["revision"] == 1
    assert _rollback.select_entry(record("deployed", "deployed"), _rollback.PREVIOUS)["revision"] == 1
    with pytest.raises(ClusterError, match="no revision before 2 of demo was deployed"):
        _rollback.select_entry(record("failed", "failed"), _rollback.PREVIOUS)


def lease(renewed, duration=20, holder="bob"):
    fields = {"f:spec": {"f:renewTime": {}}}
    entries = [{"manager": "a", "time": time, "fieldsV1": fields} for time in renewed]
    entries.append({"manager": "b", "time": "2026-01-01T09:00:00Z", "fieldsV1": {"f:metadata": {}}})
    metadata = {"creationTimestamp": "2026-01-01T00:00:00Z", "managedFields": entries}
    spec = {"holderIdentity": holder, "leaseDurationSeconds": duration, "renewTime": "2031-01-01T00:00:00.0Z"}
    return {"metadata": metadata, "spec": spec}


@pytest.mark.parametrize(
    ("lease", "over"),
    [
        (lease(["2026-01-01T08:00:00Z"]), False),
        (lease(["2026-01-01T07:59:00Z", "2026-01-01T08:00:00Z"]), False),
        (lease(["2026-01-01T07:59:39Z"]), True),
        (lease(["2026-01-01T07:59:39Z"], duration=60), False),
        (lease(["2026-01-01T08:00:00Z"], holder=""), True),
        (lease([]), True),
    ],
)
def test_a_lock_ends_by_the_server_s_clock_alone(lease, over):
    """The holder's own clock, here five years ahead, does not count."""
    assert _lease.expired(lease, dt.datetime(2026, 1, 1, 8, 0, 0, tzinfo=dt.UTC)) == over


def test_a_failure_says_what_was_written():
    outcome = Outcome(record("deployed"))
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    outcome.steps = [Step(manifest, ref(manifest)), Step(manifest, ref(manifest), action="unchanged")]
    assert outcome.status == "Nothing was written."
    outcome.wrote = 1
    assert outcome.status == "1 of 1 objects that differ were written."


def interrupted_twice():
    with _signals.interruptible():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGINT)  # while the first one is being cleaned up after


def test_a_signal_interrupts_once_and_its_handler_comes_back():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(_signals.Interrupted, match="SIGTERM"):
        interrupted_twice()
    assert signal.getsignal(signal.SIGTERM) is before
