# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Generators (hypothesis) of JSON of any shape, and of objects of which parts have another shape than documented."""

from __future__ import annotations

import base64
import copy

from hypothesis import strategies as st

TEXTS = ["", "True", "False", "Ready", "7c5bdc4f9", "3", "-1", "2026-01-01T00:00:00Z", "x\ny", "ü"]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 2**63),
    st.floats(allow_nan=False),
    st.sampled_from(TEXTS),
    st.text(max_size=8),
)
KEYS = st.sampled_from(["type", "status", "reason", "conditions", "observedGeneration", "name", "spec", "x/y"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)
"""JSON values: every scalar, empty and null everywhere, a few levels deep."""
IDENTITY = {("apiVersion",), ("kind",), ("metadata",), ("metadata", "name"), ("metadata", "namespace")}
"""What an API server guarantees of any object."""


def paths(value, path=()):
    """Every path in a value, also those of mappings and lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in items:
        yield (*path, key)
        yield from paths(below, (*path, key))


@st.composite
def shaken(draw, obj, most=3):
    """The object with up to ``most`` of its fields replaced by any JSON, or with fields that nobody documented."""
    obj = copy.deepcopy(obj)
    for _turn in range(draw(st.integers(1, most))):
        where = draw(st.sampled_from(sorted(set(paths(obj)) - IDENTITY, key=str) or [("status",)]))
        holder = obj
        for key in where[:-1]:
            holder = holder[key]
        holder[where[-1]] = draw(VALUES)
    return obj


@st.composite
def any_object(draw, api_version, kind):
    """An object of a kind with ``spec``, ``status`` and metadata of any shape."""
    metadata = {**draw(st.dictionaries(st.sampled_from(METADATA), VALUES)), "name": "x", "namespace": "demo"}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": draw(VALUES), "status": draw(VALUES)}


METADATA = ["annotations", "deletionTimestamp", "finalizers", "generation", "labels", "managedFields",
            "ownerReferences", "uid"]  # fmt: skip

HIDDEN_WORDS = ("hunter2-swordfish", "pa55word-of-line", "73310099", "s3cr3t!pw")
"""Parts of every value that :func:`any_manifest` puts into a Secret: none may show in any output."""
SECRET_LEAVES = st.sampled_from(
    [HIDDEN_WORDS[0], f"first\n  {HIDDEN_WORDS[1]}  \nlast", int(HIDDEN_WORDS[2]), f"user=me {HIDDEN_WORDS[3]}", None,
     True, [HIDDEN_WORDS[0]], {"password": HIDDEN_WORDS[3]}, "aHVudGVyMi1zd29yZGZpc2g="]
)  # fmt: skip
SECRET_PARTS = SECRET_LEAVES | st.dictionaries(st.sampled_from(["a", "b c", "k.x"]), SECRET_LEAVES, max_size=3)
MANIFEST_KINDS = [("v1", "ConfigMap"), ("v1", "Secret"), ("v1", "Service"), ("v1", "PersistentVolumeClaim"),
                  ("apps/v1", "Deployment"), ("autoscaling/v2", "HorizontalPodAutoscaler"), ("batch/v1", "Job"),
                  ("rbac.authorization.k8s.io/v1", "ClusterRole"), ("bug.example/v1", "Gadget"),
                  ("nowhere/v1", "Thing")]  # fmt: skip
RAW_SCALARS = st.sampled_from(
    ["2026-01-02", "0777", "0o17", "1:30", "~", "", "yes", ".inf", ".nan", "1_000", "0x1f", "'q'", '"q\\x"', "*x",
     "!!binary aGk=", "&a b", "@x", "%x", "\tx", "- x", "{a: 1}", "[1", "<<", "!foo x", "|\n    x", "? y", "1e400", "=",
     "\ufeffx"]
)  # fmt: skip
TEXTS = st.dictionaries(st.sampled_from(["a", "b.c/d", "on"]), st.none() | st.text(max_size=5), max_size=2)


@st.composite
def any_manifest(draw, names=("one", "two", "three")):
    """A manifest as somebody may write it: mostly plausible, any JSON where else belongs, empty and null too."""
    api_version, kind = draw(st.sampled_from(MANIFEST_KINDS))
    metadata = {"name": draw(st.sampled_from(names))}
    for key in draw(st.sets(st.sampled_from(["labels", "annotations", "namespace", "creationTimestamp"]))):
        usual = st.sampled_from(["", None, "home"]) if key == "namespace" else TEXTS | st.none()
        metadata[key] = draw(usual | usual | VALUES)
    parts = SECRET_PARTS if kind == "Secret" else TEXTS | VALUES
    fields = draw(st.dictionaries(st.sampled_from(["data", "stringData", "spec", "rules", "type", "status"]), parts))
    if kind == "Secret":
        fields = {key: value for key, value in fields.items() if key != "type"}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}


@st.composite
def plain_secret(draw, name="victim"):
    """A Secret as it should be, whose values no output may show."""
    texts = SECRET_LEAVES.filter(lambda value: isinstance(value, str))
    values = draw(st.dictionaries(st.sampled_from(["a", "k.x", "password"]), texts, min_size=1))
    if draw(st.booleans()):
        part = {"data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}}
    else:
        part = {"stringData": values}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, **part}


@st.composite
def any_text(draw):
    """YAML text with a scalar of any kind somewhere in it."""
    raw, key = draw(RAW_SCALARS), draw(RAW_SCALARS)
    kind = draw(st.sampled_from(["ConfigMap", "Secret"]))
    value = draw(st.sampled_from([raw, f"{raw}{HIDDEN_WORDS[0]}" if kind == "Secret" else raw]))
    line = draw(
        st.sampled_from(
            [f"data:\n  k: {value}", f"data:\n  {key}: x", f"metadata: {{labels: {{a: {raw}}}}}", f"{key}: x"]
        )
    )
    return f"apiVersion: v1\nkind: {kind}\nmetadata:\n  name: one\n{line}\n---\n"
