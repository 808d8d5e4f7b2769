"""JSON that is nested without end, cut, or none in part: what is said of it, and what can still be read."""

from __future__ import annotations

import codecs
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_graph.ingest.json_text import (
    MAX_BRACKETS,
    MAX_DEPTH,
    elements,
    extract_array,
    string_fields,
    syntax_problem,
    too_deep,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize("pair", [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_depth_is_counted_exactly_and_without_recursion(pair):
    step = sum(map(pair[0].count, "[{"))
    most = MAX_DEPTH // step
    for text in (pair[0] * most + "1" + pair[1] * most, f"[{','.join([pair[0] + '1' + pair[1]] * 2_000)}]"):
        assert not too_deep(text)
        assert not too_deep(text.encode())
    for text in (pair[0] * (most + 1) + "1" + pair[1] * (most + 1), pair[0] * 200_000):
        assert too_deep(text)
        assert too_deep(text.encode())


def test_brackets_in_strings_are_no_nesting():
    assert not too_deep(json.dumps({"code": "[{" * 10_000, 'quote " \\': "[" * 1_000}))
    assert not too_deep('"' + '\\"' * 500_000 + "[" * 1_000)


@given(st.lists(VALUES))
def test_elements_of_an_array_are_those_that_were_written(values):
    written = [json.dumps(value) for value in values]
    text = f" [ {' , '.join(written)} ] ".encode()
    parts, end = elements(text, 1)
    assert [json.loads(item) for item in parts] == [json.loads(item) for item in written] or "NaN" in str(written)
    assert text[end:] == b" "


@given(st.dictionaries(st.text(), VALUES, max_size=4), st.lists(VALUES, max_size=4))
def test_an_array_is_taken_out_of_an_object(others, values):
    others.pop("events", None)
    text = json.dumps({**others, "events": values, "last": [1]}).encode()
    rest, parts = extract_array(text, "events")
    assert json.dumps(json.loads(rest)) == json.dumps({**others, "events": [], "last": [1]})
    assert json.dumps([json.loads(item) for item in parts]) == json.dumps(values)


@pytest.mark.parametrize(
    "text",
    [b"", b"x", b"[]", b"{", b'{"events"', b'{"events":', b'{"events": 7}', b'{"events": [', b'{"events": [}',
     b'{"events": [{]', b'{"other": [1]}', b'{"events": ["' + b'\\"' * 100_000,
     b'{"events": [' + b"[" * (MAX_BRACKETS + 1)],
)  # fmt: skip
def test_what_is_no_object_with_an_array_is_not_taken_apart(text):
    with pytest.raises(ValueError):  # noqa: PT011 - any reason
        extract_array(text, "events")


@pytest.mark.parametrize(
    ("text", "id"),
    [
        (b'{"id": "a", "x": NaN}', "a"),
        (b'{"id": "a", "x": "\\ud83d"}', "a"),
        (b'{"id": "a\\ud83d"}', "a?"),
        (b'{"id": "a", "x": ' + b"[" * 100_000, "a"),
        (b'{"id": "a", "x": \xff}', "a"),
        (b'{"id": "a", "x": ' + b"9" * 10_000 + b"}", "a"),
        (b'{"id": 7}', ""),
        (b'["id"]', ""),
        (b"nothing", ""),
    ],
)
def test_an_id_is_read_of_what_is_no_json(text, id):
    assert string_fields(text, "id", "other") == [id, ""]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b'"cut \\ud83d"', "half of a surrogate pair"),
        (b'"cut \\ude00"', "half of a surrogate pair"),
        (b'{"\\uD83D": 1}', "half of a surrogate pair"),
        (b'"whole \\ud83d\\ude00, cut \\ud83d\\ud83d"', "half of a surrogate pair"),
        (b'"whole \\ud83d\\ude00, no escape \\\\ud83d"', "as it was said"),
        (b'{"a": NaN}', "NaN and Infinity"),
        (b'{"a": -Infinity}', "NaN and Infinity"),
        (b'{"a": "NaN", "b": nil}', "as it was said"),
        ('{"a": 1}'.encode("utf-16"), "it is UTF-16; send UTF-8"),
        (codecs.BOM_UTF16_BE + '{"a": 1}'.encode("utf-16-be"), "it is UTF-16; send UTF-8"),
    ],
)
def test_why_it_is_no_json_is_said_usefully(text, sentence):
    assert sentence in syntax_problem(text, ValueError("as it was said"))
