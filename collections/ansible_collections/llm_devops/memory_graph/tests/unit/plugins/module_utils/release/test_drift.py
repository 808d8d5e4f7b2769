# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Drift: fields that somebody else changed, each with its writer. No API server."""

from __future__ import annotations

import datetime as dt

from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import FIELD_MANAGER
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._manifest import Ref, ref
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release import (
    _drift,
)
from hypothesis import given
from hypothesis import strategies as st

KEY = b"k" * 32
values = st.text("0123456789XYZ", min_size=9, max_size=40)
names = st.text("abcdefgh", min_size=1, max_size=6)


def test_shared_fields_are_those_of_both_and_a_leaf_owns_all_below():
    mine = {"f:data": {"f:a": {}, "f:b": {}}, "f:spec": {}}
    other = {"f:data": {"f:b": {}, "f:c": {}}, "f:spec": {"f:x": {}}}
    assert _drift.shared(mine, other) == {"f:data": {"f:b": {}}, "f:spec": {"f:x": {}}}
    assert _drift.lost(mine, other) == {"f:data": {"f:a": {}}}


def test_fields_read_as_paths():
    fields = {
        "f:metadata": {"f:labels": {"f:app.io/name": {}}},
        "f:spec": {'k:{"name":"main"}': {".": {}, "f:image": {}}},
    }
    assert [path for path, _field in _drift.leaves(fields)] == ["metadata.labels[app.io/name]", "spec[main].image"]


def applied(data, owner=FIELD_MANAGER):
    record_made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}
    fields = {"f:data": {f"f:{name}": {} for name in data}}
    record_made["metadata"]["managedFields"] = [
        {"manager": owner, "operation": "Apply" if owner == FIELD_MANAGER else "Update", "fieldsV1": fields,
         "time": "2026-01-01T08:00:00Z"}
    ]  # fmt: skip
    return record_made


def test_drift_names_the_last_writer():
    live, after = applied({"a": "2"}, "kubectl-edit"), applied({"a": "1"})
    earlier = {**live["metadata"]["managedFields"][0], "manager": "helm", "time": "2025-01-01T08:00:00Z"}
    live["metadata"]["managedFields"].append(earlier)
    [drift] = _drift.compared(ref(live), live, after, KEY)
    assert (drift.difference, drift.expected, drift.live, drift.manager) == ("changed", "1", "2", "kubectl-edit")
    assert drift.text(dt.datetime(2026, 1, 1, 10, tzinfo=dt.UTC)) == (
        "ConfigMap/c  data.a: 1, live 2 — changed by kubectl-edit 2 h ago"
    )


@given(st.dictionaries(names, values, min_size=1))
def test_what_a_forced_apply_would_not_change_is_no_drift(data):
    assert list(_drift.compared(Ref("", "ConfigMap", "", "c"), applied(data), applied(data), KEY)) == []
