# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The pure parts of a release: manifests, waves, owned fields, diff, redaction, prune, history, quantities."""

from __future__ import annotations

import base64
import copy
import json

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ClusterError, ManifestError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.kinds import _waves
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.kinds._kinds import KINDS, WORKLOADS, Kind
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects import (
    _diff,
    _fields,
    _manifest,
    _redact,
)
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.release import _history, _prune
from ansible_collections.llm_devops.memory_graph.tests.unit.plugins.module_utils.api_server import fields_of
from hypothesis import given
from hypothesis import strategies as st

names = st.text("abcdefgh", min_size=1, max_size=6)
leaves = st.one_of(st.integers(-5, 5), st.booleans(), st.text(max_size=5))
trees = st.recursive(leaves, lambda below: st.dictionaries(names, below, min_size=1, max_size=4), max_leaves=12)
KEY = b"k" * 32


def config_map(name="settings", **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_applyset_id_is_kubectls():
    # sha256 of "demo-release.ns.Secret." as KEP-3659 defines it
    assert _manifest.applyset_id("demo", "ns").startswith("applyset-")
    assert _manifest.applyset_id("demo", "ns").endswith("-v1")
    assert len(_manifest.applyset_id("demo", "ns")) == len("applyset--v1") + 43
    assert _manifest.applyset_id("demo", "ns") != _manifest.applyset_id("demo", "other")


def test_prepared_sets_namespace_and_labels_but_not_on_cluster_scope():
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns"}}
    ready = _manifest.prepared([namespace, config_map()], "demo", "ns")
    assert "namespace" not in ready[0]["metadata"]
    assert ready[1]["metadata"]["namespace"] == "ns"
    assert all(_manifest.PART_OF in item["metadata"]["labels"] for item in ready)


def test_prepared_opens_lists_encodes_secrets_and_leaves_its_input_alone():
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "x"}}
    given_objects = [{"apiVersion": "v1", "kind": "List", "items": [secret, config_map()]}]
    before = copy.deepcopy(given_objects)
    ready = _manifest.prepared(given_objects, "demo", "ns")
    assert given_objects == before
    assert [item["kind"] for item in ready] == ["Secret", "ConfigMap"]
    assert ready[0]["data"] == {"a": base64.b64encode(b"x").decode()}
    assert "stringData" not in ready[0]


def test_prepared_takes_texts_and_lists_of_lists():
    text = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n# nothing\n---\n" + json.dumps(
        config_map("b")
    )
    ready = _manifest.prepared([text, [[config_map("c")]], None, {}], "demo", "ns")
    assert [item["metadata"]["name"] for item in ready] == ["a", "b", "c"]
    assert [item["metadata"]["name"] for item in _manifest.prepared(text, "demo", "ns")] == ["a", "b"]


@pytest.mark.parametrize(
    ("objects", "sentence"),
    [
        ([7], "object 1 is a number, not a mapping"),
        (["plain text"], "a text of objects holds a plain string where a manifest should be"),
        (["a: [1"], r"a text of objects is not YAML: line \d+, column \d+: "),
        ([{"kind": "ConfigMap"}], "object 1 has no apiVersion"),
        ([{"apiVersion": "v1", "kind": "ConfigMap"}], "object 1, a ConfigMap, has no metadata.name"),
        ([config_map(), config_map()], "objects 1 and 2 are both ConfigMap/settings"),
    ],
)
def test_malformed_objects_are_refused_by_position(objects, sentence):
    with pytest.raises(ManifestError, match=sentence):
        _manifest.prepared(objects, "demo", "ns")


API_VERSIONS = {
    "CustomResourceDefinition": "apiextensions.k8s.io/v1",
    "Deployment": "apps/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "Job": "batch/v1",
}


def of_kind(kind, wave=None, api_version=None):
    annotations = {} if wave is None else {"annotations": {_waves.ANNOTATION: wave}}
    api_version = api_version or API_VERSIONS.get(kind, "v1")
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", **annotations}}


def test_waves_put_what_is_needed_first():
    kinds = ["Service", "Deployment", "Secret", "Namespace", "HorizontalPodAutoscaler", "CustomResourceDefinition"]
    assert _waves.split(kinds, of_kind) == [
        ["Namespace", "CustomResourceDefinition"],
        ["Secret"],
        ["Deployment"],
        ["Service", "HorizontalPodAutoscaler"],
    ]
    assert _waves.stages(map(of_kind, kinds)) == ["namespace", "config", "workload", "network", "scaling"]


def test_a_kind_of_another_group_has_a_wave_and_a_stage_of_its_own(monkeypatch):
    other = of_kind("Secret", api_version="secrets.example.com/v1")
    assert _waves.split([other, of_kind("Secret")], dict) == [[of_kind("Secret")], [other]]
    assert _waves.stages([other, of_kind("Secret")]) == ["config", "Secret"]
    assert not _waves.is_foundation(of_kind("Namespace", api_version="tenants.example.com/v1"))
    monkeypatch.setitem(KINDS, ("serving.knative.dev", "Service"), Kind(WORKLOADS, "workload"))
    knative = of_kind("Service", api_version="serving.knative.dev/v1")
    assert _waves.split([of_kind("Service"), knative], dict) == [[knative], [of_kind("Service")]]


def test_a_wave_annotation_overrules_the_kind():
    first, secret, job, last = of_kind("Job", "-1"), of_kind("Secret"), of_kind("Job", "1"), of_kind("Secret", "10")
    assert _waves.split([last, job, secret, first], lambda item: item) == [[first], [job, secret], [last]]
    with pytest.raises(ManifestError, match=r"Job/x: annotation memory-graph.llm-devops/wave is 'soon'"):
        _waves.wave_of(of_kind("Job", "soon"))


def test_project_keeps_only_owned_list_items_by_key_and_value():
    live = {"spec": {"ports": [{"port": 1, "protocol": "TCP", "nodePort": 7}, {"port": 2}], "tags": ["a", "b"]}}
    owned = {"f:spec": {"f:ports": {'k:{"port":1}': {".": {}, "f:port": {}}}, "f:tags": {'v:"b"': {}}}}
    assert _fields.project(live, owned) == {"spec": {"ports": [{"port": 1}], "tags": ["b"]}}


def test_visible_hides_status_and_what_others_own():
    live = {**config_map(a="1", b="2"), "status": {"x": 1}}
    live["metadata"]["resourceVersion"] = "7"
    seen = _fields.visible(live, {"f:data": {"f:a": {}}})
    assert seen == {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"}, "metadata": {"name": "settings"}}


@given(st.dictionaries(names, trees, max_size=4), st.dictionaries(names, trees, max_size=4))
def test_applied_fields_never_differ_whatever_others_add(mine, others):
    """Apply then diff is empty: what somebody else owns beside us does not show."""
    live = {**{f"x{key}": value for key, value in others.items()}, **mine}
    fields = {f"f:{key}": fields_of(value) for key, value in mine.items()}
    projected = _fields.project(live, fields) if fields else {}
    assert _diff.changes(mine, projected) == []


@given(st.dictionaries(names, trees, max_size=4), st.dictionaries(names, trees, max_size=4))
def test_diff_is_empty_exactly_for_equal_trees(before, after):
    assert (_diff.changes(before, after) == []) == (before == after)


def test_diff_names_list_items_and_reads_like_a_sentence():
    before = {"spec": {"replicas": 3, "containers": [{"name": "a", "image": "x:1"}]}}
    after = {"spec": {"replicas": 4, "containers": [{"name": "a", "image": "x:2"}]}}
    assert [_diff.line(item) for item in _diff.changes(before, after)] == [
        "spec.replicas: 3 → 4",
        "spec.containers[a].image: x:1 → x:2",
    ]


def test_diff_of_a_file_shows_its_lines_and_of_a_digest_its_beginning():
    before, after = "a: 1\nb: 2\nc: 3\n", "a: 1\nb: 5\nc: 3\n"
    assert _diff.line({"path": "data[app.yml]", "before": before, "after": after}) == "data[app.yml]: -b: 2 +b: 5"
    many = "".join(f"{number}\n" for number in range(20))
    assert _diff.line({"path": "data.x", "before": "a\n", "after": many}).endswith("+4 and 15 more lines")
    assert _diff.line({"path": "x", "before": "0" * 64, "after": "f" * 64}) == "x: 00000000… → ffffffff…"


@given(st.dictionaries(names, st.text("0123456789XYZ", min_size=9, max_size=40), min_size=1), st.binary(min_size=32))
def test_redacted_never_leaks_a_value(data, key):
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": data, "stringData": dict(data)}
    secret["metadata"]["annotations"] = {_redact.LAST_APPLIED: json.dumps(data)}
    text = json.dumps(_redact.redacted(secret, key))
    assert not [value for value in data.values() if value in text]


def test_redacted_shows_that_a_value_changed_and_nothing_without_the_key():
    old, new = ({"kind": "Secret", "data": {"a": value}} for value in ("old", "new"))
    assert _redact.redacted(old, KEY) != _redact.redacted(new, KEY)
    assert _redact.redacted(old, KEY) == _redact.redacted(old, KEY)
    assert _redact.redacted(old, KEY) != _redact.redacted(old, b"other")
    assert _redact.redacted(config_map(a="1"), KEY) == config_map(a="1")


refs = st.builds(_manifest.Ref, st.just(""), st.sampled_from(["ConfigMap", "Secret"]), st.just("ns"), names)


@given(st.lists(refs), st.lists(refs))
def test_prune_takes_only_members_that_left(before, now):
    members = [_history.Member("v1", item) for item in before]
    removed = {item.ref for item in _prune.removed_members(members, now)}
    assert removed == set(before) - set(now)


@given(
    st.dictionaries(names, names), st.sampled_from(["ConfigMap", "PersistentVolumeClaim", "Namespace"]), st.booleans()
)
def test_prune_never_touches_a_foreign_object(labels, kind, delete_data):
    live = {"kind": kind, "metadata": {"labels": labels}}
    assert _prune.verdict(live, "applyset-ours-v1", delete_data) == "foreign"


@pytest.mark.parametrize(
    ("kind", "delete_data", "verdict"),
    [
        ("ConfigMap", False, "pruned"),
        ("PersistentVolumeClaim", False, "kept"),
        ("Namespace", False, "kept"),
        ("PersistentVolumeClaim", True, "pruned"),
    ],
)
def test_prune_keeps_data_unless_asked(kind, delete_data, verdict):
    live = {"kind": kind, "metadata": {"labels": {_manifest.PART_OF: "id"}}}
    assert _prune.verdict(live, "id", delete_data) == verdict


def test_prune_leaves_what_a_controller_owns():
    owner = [{"controller": True, "kind": "Deployment"}]
    live = {"kind": "ConfigMap", "metadata": {"labels": {_manifest.PART_OF: "id"}, "ownerReferences": owner}}
    assert _prune.verdict(live, "id", delete_data=True) == "foreign"


def test_history_reads_what_it_wrote_and_stays_bounded():
    record = _history.ReleaseRecord("demo", "ns")
    members = [_history.Member("apps/v1", _manifest.Ref("apps", "Deployment", "ns", "d"))]
    for revision in range(1, 40):
        record = _history.advanced(record, revision, "deployed", "digest", members)
    secret = _history.manifest(record)
    assert _history.parsed(secret, "demo", "ns") == record
    assert [entry["revision"] for entry in record.history] == list(range(30, 39))
    assert secret["metadata"]["annotations"]["applyset.kubernetes.io/contains-group-kinds"] == "Deployment.apps"


def test_history_refuses_another_tools_record_and_says_when_one_is_damaged():
    secret = _history.manifest(_history.ReleaseRecord("demo", "ns"))
    secret["metadata"]["annotations"][_history.TOOLING_ANNOTATION] = "kubectl/v1.34"
    with pytest.raises(ClusterError, match="belongs to other tooling"):
        _history.parsed(secret, "demo", "ns")
    secret = _history.manifest(_history.ReleaseRecord("demo", "ns"))
    secret["data"]["release.json"] = "!"
    with pytest.raises(ClusterError, match="is damaged"):
        _history.parsed(secret, "demo", "ns")
