# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Generators (hypothesis) of JSON of any shape, and of objects of which parts have another shape than documented."""

from __future__ import annotations

import copy

from hypothesis import strategies as st

WORDS = ["", "True", "False", "Ready", "7c5bdc4f9", "3", "-1", "2026-01-01T00:00:00Z", "x\ny", "ü"]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 2**63),
    st.floats(allow_nan=False),
    st.sampled_from(WORDS),
    st.text(max_size=8),
)
KEYS = st.sampled_from(["type", "status", "reason", "conditions", "observedGeneration", "name", "spec", "x/y"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)
"""JSON values: every scalar, empty and null everywhere, a few levels deep."""
IDENTITY = {("apiVersion",), ("kind",), ("metadata",), ("metadata", "name"), ("metadata", "namespace")}
"""What an API server guarantees of any object."""


def paths(value, here=()):
    """Every path in a value, also those of mappings and lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in items:
        yield (*here, key)
        yield from paths(below, (*here, key))


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
