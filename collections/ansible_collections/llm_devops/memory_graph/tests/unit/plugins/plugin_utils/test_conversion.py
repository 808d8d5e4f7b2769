# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Text, numbers and nulls are converted to the type of a variable."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.plugin_utils.conversion import ConversionError, convert
from hypothesis import given
from hypothesis import strategies as st

TEXTS = {"type": "list", "elements": "str"}
MAPPINGS = {"type": "list", "elements": "dict"}
TOLERATION = {"key": "graph", "operator": "Exists"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("regcred", ["regcred"]),
        ("10.0.0.0/8", ["10.0.0.0/8"]),
        ("10.0.0.0/8, 192.168.0.0/16,", ["10.0.0.0/8", "192.168.0.0/16"]),
        ('["a", "b"]', ["a", "b"]),
        ("[a, 5, true]", ["a", "5", "true"]),
        ("- a\n- b: c\n", None),
        ("- a\n- 1.10\n", ["a", "1.10"]),
        ("a\nb\n", ["a", "b"]),
        ("fd00::/8,[fd00::1]:9092", ["fd00::/8", "[fd00::1]:9092"]),
        ("[fd00::1]:9092,[fd00::2]:9092", ["[fd00::1]:9092", "[fd00::2]:9092"]),
        ("", []),
        (" ", []),
        ([], []),
        (["a", 5], ["a", "5"]),
        (5, ["5"]),
        (True, None),
        ({"a": 1}, None),
        (["a", None], None),
        ([["a"]], None),
    ],
)
def test_a_list_of_texts(value, expected) -> None:
    if expected is None:
        with pytest.raises(ConversionError, match=r"^x"):
            convert(value, TEXTS, "x")
    else:
        assert convert(value, TEXTS, "x") == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('[{"key": "graph", "operator": "Exists"}]', [TOLERATION]),
        ('{"key": "graph", "operator": "Exists"}', [TOLERATION]),
        ("- key: graph\n  operator: Exists\n", [TOLERATION]),
        ("key: graph\noperator: Exists", [TOLERATION]),
        ("", []),
        ([TOLERATION], [TOLERATION]),
        (['{"key": "graph", "operator": "Exists"}'], [TOLERATION]),
        ("graph", None),
        ("[graph]", None),
        ("[{", None),
    ],
)
def test_a_list_of_mappings(value, expected) -> None:
    if expected is None:
        with pytest.raises(ConversionError, match=r"^x(\[0\])? is 'graph'|^x is '\[\{'"):
            convert(value, MAPPINGS, "x")
    else:
        assert convert(value, MAPPINGS, "x") == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('{"disk":"ssd"}', {"disk": "ssd"}),
        ("{disk: ssd}", {"disk": "ssd"}),
        ("disk: ssd\nzone: a", {"disk": "ssd", "zone": "a"}),
        ("disk=ssd,zone=a", {"disk": "ssd", "zone": "a"}),
        ("disk=ssd zone=a", {"disk": "ssd", "zone": "a"}),
        ("url=http://x:1", {"url": "http://x:1"}),
        ("", {}),
        ("ssd", None),
        ('{"disk":', None),
        ("[1]", None),
        ([], None),
        (5, None),
    ],
)
def test_a_mapping(value, expected) -> None:
    if expected is None:
        with pytest.raises(ConversionError, match=r"^x is .*: give a mapping"):
            convert(value, {"type": "dict"}, "x")
    else:
        assert convert(value, {"type": "dict"}, "x") == expected


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("bool", "no", False),
        ("bool", "False", False),
        ("bool", " true ", True),
        ("bool", "1", True),
        ("bool", 0, False),
        ("bool", "", None),
        ("bool", "maybe", None),
        ("bool", [True], None),
        ("int", "3", 3),
        ("int", " 3 ", 3),
        ("int", 3.0, 3),
        ("int", "-5", -5),
        ("int", "3.7", None),
        ("int", 3.7, None),
        ("int", "", None),
        ("int", True, None),
        ("int", float("inf"), None),
        ("int", float("nan"), None),
        ("int", "9" * 5000 + "x", None),
        ("int", [3], None),
        ("float", "1.5", 1.5),
        ("float", 2, 2.0),
        ("float", "much", None),
        ("str", "x", "x"),
        ("str", 5, "5"),
        ("str", dt.date(2026, 1, 2), "2026-01-02"),
        ("str", True, None),
        ("str", ["x"], None),
        ("str", {"x": 1}, None),
        ("path", "", ""),
        ("path", "rendered", str(Path("rendered").absolute())),
        ("path", "/rendered", "/rendered"),
        ("path", ["x"], None),
    ],
)
def test_a_single_value(kind, value, expected) -> None:
    if expected is None:
        with pytest.raises(ConversionError, match=r"^x is .*: give") as refused:
            convert(value, {"type": kind}, "x")
        assert len(str(refused.value)) < 120
    else:
        converted = convert(value, {"type": kind}, "x")
        assert (converted, type(converted)) == (expected, type(expected))


class Tagged(str):
    """A text as ansible-core tags every text of a variable."""

    __slots__ = ()


def test_a_tagged_text_is_read_as_a_plain_one() -> None:
    assert convert(Tagged("- a\n- b\n"), TEXTS, "x") == ["a", "b"]
    assert convert(Tagged("disk: ssd\nzone: a"), {"type": "dict"}, "x") == {"disk": "ssd", "zone": "a"}


def test_suboptions_are_converted_by_their_own_types() -> None:
    ports = {"type": "list", "elements": "dict", "options": {"port": {"type": "int"}, "names": TEXTS}}
    assert convert('[{"port": "80", "names": "a,b"}, {"port": null}]', ports, "x") == [
        {"port": 80, "names": ["a", "b"]},
        {},
    ]
    with pytest.raises(ConversionError, match=r"^x\[1\]\.port is 'http': give a whole number$"):
        convert([{"port": 80}, {"port": "http"}], ports, "x")


def test_a_private_value_is_not_shown() -> None:
    with pytest.raises(ConversionError, match=r"^x is of another type: give a mapping") as refused:
        convert("s3cret", {"type": "dict", "no_log": True}, "x")
    assert "s3cret" not in str(refused.value)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(ANYTHING, st.sampled_from(["str", "int", "float", "bool", "dict", "list", "path"]), st.booleans())
def test_every_value_becomes_its_type_or_is_refused_by_name(value, kind, elements) -> None:
    if value is None:
        return
    option = {"type": kind, **({"elements": "str"} if elements and kind == "list" else {})}
    types = {"str": str, "int": int, "float": float, "bool": bool, "dict": dict, "list": list, "path": str}
    converted, refusal = None, ""
    try:
        converted = convert(value, option, "x")
    except ConversionError as error:
        refusal = str(error)
    assert isinstance(converted, types[kind]) if converted is not None else refusal.startswith("x")
