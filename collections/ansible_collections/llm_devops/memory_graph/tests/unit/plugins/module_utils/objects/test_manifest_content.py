# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Manifests as they may be written: YAML as kubectl reads it, empty is unset, errors by name and without a value."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ManifestError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects import _manifest_checks
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._manifest import prepared
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._yaml_documents import documents, scalar


@pytest.mark.parametrize(
    ("text", "value"),
    [  # as `kubectl annotate --local -f - a=b -o json` prints them
        ("2026-01-02", "2026-01-02"), ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"), ("2026-13-45", "2026-13-45"),
        ("2026-01-02 03:04:05", "2026-01-02 03:04:05"), ("1:30", "1:30"), ("0777", 511), ("0o17", 15), ("08", 8),
        ("0_7", 7), ("1_000", 1000), ("0x1F", 31), ("0b11", 3), ("-0", 0), ("+1", 1), ("1e3", 1000), ("1.0", 1),
        ("1.5", 1.5), (".5", 0.5), ("1e400", "1e400"), ("99999999999999999999", 100000000000000000000), (".", "."),
        ("+", "+"), ("yes", True), ("off", False), ("y", True), ("N", False), ("nO", "nO"), ("~", None), ("", None),
        ("Null", None), ("=", "="), ("1.2.3", "1.2.3"), ("10.0.0.0/8", "10.0.0.0/8"), ("5s", "5s"),
    ],
)  # fmt: skip
def test_a_scalar_is_what_kubectl_makes_of_it(text, value):
    assert (scalar(text), type(scalar(text))) == (value, type(value))


def test_tags_keys_aliases_and_merges_are_kubectls():
    text = """
        quoted: "yes"
        tagged: [!!str 5, !!int "7", !mine yes, !!binary aGVsbG8=]
        1: one
        on: two
        1.5: k
        base: &base {p: 1, q: 2}
        after: {<<: *base, p: 3}
        before: {p: 3, <<: *base}
        several: {<<: [{p: 9}, *base]}
    """
    assert documents(text) == [
        {
            "quoted": "yes", "tagged": ["5", 7, "yes", "hello"], "1": "one", "true": "two", "1.5": "k",
            "base": {"p": 1, "q": 2}, "after": {"p": 3, "q": 2}, "before": {"p": 1, "q": 2},
            "several": {"p": 9, "q": 2},
        }
    ]  # fmt: skip


LAUGHS = "a0: &a0 [1]\n" + "".join(
    f"a{level}: &a{level} [{','.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: .inf", "line 1, column 4: infinity and not-a-number have no JSON value"),
        ("a: {.nan: 1}", "line 1, column 5: infinity"),
        ("~: hunter2", "line 1, column 1: a key is empty"),
        ("a: 1\nb: 2\na: hunter2", "line 3, column 1: the key 'a' stands twice"),
        ("on: 1\nyes: hunter2", "line 2, column 1: the key 'yes', which is read as 'true', stands twice"),
        ("a: &b [*b]", "an alias stands within what it names"),
        ("a: *hunter2", "line 1, column 4: found undefined alias"),
        ("a: @hunter2", "line 1, column 4: found character that cannot start any token"),
        ("a:\n\thunter2: 1", "line 2, column 1: a tab stands where YAML takes spaces only"),
        ('a: "hunter2\\q"', "found unknown escape character"),
        ("a: 'hunter2", "found unexpected end of stream"),
        ("a: \x00hunter2", "control characters are not allowed"),
        ("? [hunter2]\n: 2", "a key is a mapping or a list"),
        ("<<: hunter2", "'<<' merges mappings only"),
        ("a: !!binary hunter2", "!!binary is no base64 of UTF-8 text"),
        pytest.param("[" * 3000 + "]" * 3000, "nested too deeply", id="deep"),
        ("hunter2", "a plain string where a manifest should be"),
        pytest.param(LAUGHS, "line 8, column 5: its aliases make more than", id="aliases of aliases"),
        pytest.param(LAUGHS + "z: {y: &z [*z]}", "its aliases make more than", id="also where another fault follows"),
    ],
)  # fmt: skip
def test_text_that_is_not_yaml_is_refused_by_place_and_never_quoted(text, sentence):
    with pytest.raises(ManifestError) as refused:
        prepared(text, "demo", "ns")
    assert sentence in str(refused.value)
    assert "hunter2" not in str(refused.value)


def thing(kind="ConfigMap", api_version="v1", *, metadata=None, **content):
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", **(metadata or {})}, **content}


def test_documents_marks_and_lists_within_lists_are_opened():
    nothing = "\ufeff---\n---\nnull\n---\n{}\n---\n"
    document = "\ufeffapiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n"
    inner = {"kind": "List", "apiVersion": "v1", "items": [{**thing(), "metadata": {"name": "b"}}]}
    text = nothing + document + json.dumps({"kind": "List", "apiVersion": "v1", "items": [inner]})
    assert [item["metadata"]["name"] for item in prepared(text, "demo", "ns")] == ["a", "b"]
    of_kind = {"apiVersion": "v1", "kind": "ConfigMapList", "items": [{"metadata": {"name": "c"}}]}
    [ready] = prepared(of_kind, "demo", "ns")
    assert (ready["kind"], ready["metadata"]["name"]) == ("ConfigMap", "c")


def test_a_list_without_items_is_empty_and_one_of_something_else_is_told():
    empty = [{"apiVersion": "v1", "kind": kind, "items": None} for kind in ("List", "ConfigMapList")]
    assert prepared(empty, "demo", "ns") == []
    with pytest.raises(ManifestError, match="the items of a List are a mapping, not a list"):
        prepared({"apiVersion": "v1", "kind": "List", "items": {"a": "hunter2"}}, "demo", "ns")
    [custom] = prepared(thing("PriceList", "bug.example/v1", items={"a": "b"}), "demo", "ns")
    assert custom["items"] == {"a": "b"}


@pytest.mark.parametrize("empty", ["", None])
def test_an_empty_namespace_is_unset(empty):
    [ready] = prepared([thing(metadata={"namespace": empty})], "demo", "ns")
    assert ready["metadata"]["namespace"] == "ns"


def test_empty_is_unset_everywhere_but_in_custom_resources():
    metadata = {"labels": {"a": None, "b": "x"}, "annotations": None, "creationTimestamp": None}
    template = {"metadata": {"creationTimestamp": None}, "spec": {"nodeSelector": None, "containers": [{"env": None}]}}
    workload, custom = prepared(
        [thing("Deployment", "apps/v1", metadata=metadata, spec={"replicas": None, "template": template}, status=None),
         thing("Gadget", "bug.example/v1", spec={"size": None}, data=None)],
        "demo", "ns",
    )  # fmt: skip
    assert workload["spec"] == {"template": {"metadata": {}, "spec": {"containers": [{}]}}}
    assert "annotations" not in workload["metadata"]
    assert sorted(workload["metadata"]["labels"]) == [
        "app.kubernetes.io/managed-by", "applyset.kubernetes.io/part-of", "b",
    ]  # fmt: skip
    assert custom["spec"] == {"size": None}
    assert "data" not in custom


def test_what_the_server_or_a_controller_writes_is_not_sent():
    annotations = {"deployment.kubernetes.io/revision": "3", "mine": "1",
                   "kubectl.kubernetes.io/last-applied-configuration": "{}"}  # fmt: skip
    metadata = {"uid": "1", "resourceVersion": "2", "managedFields": [], "deletionTimestamp": "x",
                "annotations": annotations}  # fmt: skip
    hook = {"name": "h", "clientConfig": {"caBundle": "Cg==", "service": {"name": "s"}}}
    role, read, webhook, without_annotation = prepared(
        [
            thing("ClusterRole", "rbac.authorization.k8s.io/v1", rules=[], aggregationRule={"x": []}),
            thing(metadata=metadata, status={"phase": "x"}),
            thing("ValidatingWebhookConfiguration", "admissionregistration.k8s.io/v1", webhooks=[hook],
                  metadata={"annotations": {"cert-manager.io/inject-ca-from": "a/b"}}),
            thing("MutatingWebhookConfiguration", "admissionregistration.k8s.io/v1", webhooks=[hook]),
        ],
        "demo", "ns",
    )  # fmt: skip
    assert "rules" not in role
    assert set(read["metadata"]) == {"name", "namespace", "labels", "annotations"}
    assert read["metadata"]["annotations"] == {"mine": "1"}
    assert "status" not in read
    assert "caBundle" not in webhook["webhooks"][0]["clientConfig"]
    assert without_annotation["webhooks"][0]["clientConfig"]["caBundle"] == "Cg=="


@pytest.mark.parametrize(
    ("more", "notes"), [({}, 1), ({"rules": []}, 0), ({"rules": None}, 0), ({"aggregationRule": None}, 0)]
)
def test_rules_that_a_controller_overwrites_are_a_warning(more, notes):
    warnings = []
    content = {"aggregationRule": {"x": []}, "rules": [{"verbs": ["get"]}], **more}
    prepared([thing("ClusterRole", "rbac.authorization.k8s.io/v1", **content)], "demo", "ns", warn=warnings.append)
    assert len(warnings) == notes
    sentence = (
        "ClusterRole/x: its rules are not sent, since its aggregationRule has a controller write them — move them to"
    )
    assert all(warning.startswith(sentence) for warning in warnings)


@pytest.mark.parametrize(
    ("manifest", "sentence"),
    [
        (thing(metadata={"labels": {"a": 1}}), "object 1, ConfigMap/x: metadata.labels.a is a number, not a text"),
        (thing(metadata={"annotations": {"a": True}}), "metadata.annotations.a is a truth value, not a text"),
        (thing(metadata={"annotations": [1]}), "metadata.annotations is a list, not a mapping of texts"),
        (thing(metadata={"namespace": 7}), "metadata.namespace is a number, not a text"),
        (thing(metadata={"namespace": "Team A"}), "the namespace 'Team A' of object 1, ConfigMap/x is no DNS label"),
        (thing(data={"k": 1.5}), "data.k is a number, not a text — quote it"),
        (thing(data={"a b": "x"}), "data has a key 'a b', which none may be called"),
        (thing(data="x"), "data is a text, not a mapping of texts"),
        (thing(binaryData={"k": "%"}), "binaryData.k is not base64 — encode it, or give plain text in data"),
        (thing("Deployment", "apps/v1", spec={"template": {"metadata": {"labels": {"a": 1}}}}),
         "object 1, Deployment/x: spec.template.metadata.labels.a is a number"),
        (thing("Deployment", "apps/v1", spec="x"), "object 1, Deployment/x: spec is a text, not a mapping"),
        (thing("Deployment", "apps/v1", spec={"template": {"spec": {"containers": {"name": "c"}}}}),
         "Deployment/x: spec.template.spec.containers is a mapping, not a list"),
        (thing("Pod", spec={"containers": ["c"]}), "Pod/x: spec.containers[0] is a text, not a mapping"),
        (thing(metadata={"name": "a/b"}), "has a name with '/' or '%'"),
        (thing(metadata={"name": 5}), "has no metadata.name — give it, as a text"),
        (thing(metadata={"name": None, "generateName": "a-"}), "give name instead of generateName"),
        (thing(api_version="v1/../x"), "object 1 has a malformed apiVersion"),
        (thing(kind="Config Map"), "object 1 has a malformed kind"),
        (thing(data={"k": "\ud800"}), "ConfigMap/x.data.k holds half of a surrogate pair"),
        (thing(spec={"k": float("nan")}), "ConfigMap/x.spec.k is a float, which JSON does not have"),
        (thing(spec={"k": {1, 2}}), "ConfigMap/x.spec.k is a set, which JSON does not have"),
        (thing(spec={(1, 2): 3}), "ConfigMap/x.spec has a key that is no text"),
    ],
)  # fmt: skip
def test_what_the_server_would_refuse_is_refused_by_name(manifest, sentence):
    with pytest.raises(ManifestError) as refused:
        prepared([manifest], "demo", "ns")
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("manifest", "where", "written"),
    [
        ({"data": {"yes": "y"}}, "data.true", "yes, on or y"),
        ({"data": {"n": "4"}}, "data.false", "no, off or n"),
        ({"metadata": {"name": "x", "labels": {"off": "[a]"}}}, "metadata.labels.false", "no, off or n"),
    ],
)
def test_a_key_that_yaml_reads_as_a_truth_value_is_told_as_such(manifest, where, written):
    plain = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, **manifest})
    with pytest.raises(ManifestError) as refused:
        prepared(plain.replace('"', ""), "demo", "ns")
    assert f"object 1, ConfigMap/x: {where} is a" in str(refused.value)
    assert f"; the key, too, where it is written {written}: without quotes YAML takes that for" in str(refused.value)


def test_a_key_that_is_no_truth_value_is_not_told_as_such():
    with pytest.raises(ManifestError, match=r"ConfigMap/x: data.k is a number, not a text — quote it$"):
        prepared([thing(data={"k": 1})], "demo", "ns")


@pytest.mark.parametrize("part", ["data", "stringData"])
@pytest.mark.parametrize("value", [73310099, {"password": "hunter2"}, ["hunter2"], True, 1.25])
def test_a_secret_s_value_that_is_no_text_is_refused_by_its_key_alone(part, value):
    with pytest.raises(ManifestError) as refused:
        prepared([thing("Secret", **{part: {"pin": value}})], "demo", "ns")
    assert f"object 1, Secret/x: {part}.pin is " in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert "73310099" not in str(refused.value)


@pytest.mark.parametrize("part", ["data", "stringData"])
@pytest.mark.parametrize("value", [["hunter2"], "hunter2", 73310099])
def test_a_secret_s_values_that_are_no_mapping_are_refused(part, value):
    with pytest.raises(ManifestError, match=rf"Secret/x: {part} is a (list|text|number), not a mapping of texts"):
        prepared([thing("Secret", **{part: value})], "demo", "ns")


def test_a_secret_s_value_that_is_not_base64_is_refused_by_its_key():
    with pytest.raises(ManifestError) as refused:
        prepared([thing("Secret", data={"fine": "aHVu\ndGVy\n", "pin": "hunter2"})], "demo", "ns")
    assert str(refused.value) == (
        "object 1, Secret/x: data.pin is not base64 — encode it, or give plain text in stringData"
    )


def test_all_that_is_malformed_is_told_at_once():
    with pytest.raises(ManifestError) as refused:
        prepared([thing(data={"k": 1}), thing("Secret", data={"k": 1}), thing(), thing()], "demo", "ns")
    assert str(refused.value).startswith(
        "3 objects are malformed: object 1, ConfigMap/x: data.k is a number, not a text"
    )
    assert "object 2, Secret/x" in str(refused.value)
    assert "objects 3 and 4 are both ConfigMap/x" in str(refused.value)


def test_dates_of_a_caller_become_texts():
    [ready] = prepared([thing(data={"since": dt.date(2026, 1, 2)})], "demo", "ns")
    assert ready["data"] == {"since": "2026-01-02"}


@pytest.mark.parametrize("name", ["Shop", "a_b", "-a", "a..b", "", "a" * 231, "ä"])
def test_a_release_is_called_as_its_lease_can_be(name):
    with pytest.raises(ManifestError, match="is no DNS name"):
        _manifest_checks.release_name(name)
    _manifest_checks.release_name("a1.b-2")
