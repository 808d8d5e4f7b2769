"""Lines of an import, read without a server."""

from __future__ import annotations

import codecs
import json
from datetime import UTC, datetime

import click
import pytest

from memory_graph.cli.dlq_view import _body
from memory_graph.cli.failure import Failure
from memory_graph.cli.jsonl import JsonlReader
from memory_graph.cli.query import TimestampType
from memory_graph.cli.time_option import parse_time_ms

SESSION = {"kind": "session", "id": "0198f3a2-7c44-7bd1-9f0e-3b8f2f1c5a77"}
AT = 1_772_359_200_000_000_000


def read(*lines: bytes) -> list:
    return list(JsonlReader().entries(lines))


def line(**changed: object) -> bytes:
    return json.dumps({**SESSION, **changed}).encode() + b"\n"


def test_a_byte_order_mark_at_the_start_says_nothing() -> None:
    assert [entry.line for entry in read(codecs.BOM_UTF8 + line(), line())] == [1, 2]
    assert [entry.line for entry in read(codecs.BOM_UTF8, line())] == [2]
    with pytest.raises(Failure, match="line 2: is not JSON"):
        read(line(), codecs.BOM_UTF8 + line())
    with pytest.raises(Failure, match="line 1: is UTF-16; write the file as UTF-8"):
        read(json.dumps(SESSION).encode("utf-16"))


@pytest.mark.parametrize(
    ("written", "nanoseconds"),
    [
        ("2026-03-01T10:00:00Z", AT),
        ("2026-03-01t10:00:00z", AT),
        ("2026-03-01 11:00:00+01:00", AT),
        ("2026-03-01T10:00:00", AT),
        ("2026-03-01T10:00:00.000000001Z", AT + 1),
        ("2026-03-01T10:00:00.5Z", AT + 500_000_000),
    ],
)
def test_times_of_rfc_3339_are_read_to_the_nanosecond(written, nanoseconds) -> None:
    (entry,) = read(line(created_at=written))
    assert entry.node.created_at.ToNanoseconds() == nanoseconds


@pytest.mark.parametrize(
    "written",
    ["2026-03-01", "yesterday", "", 1_772_359_200_250, 1.5, True, {"a": 1}, "1969-12-31T23:59:59Z",
     "2300-01-01T00:00:00Z", "2026-02-30T10:00:00Z", "2026-03-01T10:00:00+25:00", "x" * 10_000],
)  # fmt: skip
def test_a_time_that_is_none_is_told_as_it_was_written(written) -> None:
    with pytest.raises(Failure) as refused:
        read(line(created_at=written))
    text = str(refused.value)
    assert text.startswith(f"line 1: created_at is {json.dumps(written)[:60]}")
    assert text.endswith("it must be a time from 1970 to 2262 such as 2026-03-01T10:00:00Z (RFC 3339)")
    assert len(text) < 300


@pytest.mark.parametrize("pair", [("[", "]"), ('{"a":', "}")])
def test_a_line_that_is_nested_too_deep_is_named(pair) -> None:
    nested = f"{pair[0] * 900}1{pair[1] * 900}".encode()
    deep = line(kind="tool_invocation", parameters="DEEP").replace(b'"DEEP"', nested)
    with pytest.raises(Failure, match="line 1: is nested more than 500 deep"):
        read(deep)


def test_a_number_without_end_is_named() -> None:
    with pytest.raises(Failure, match="line 1: has a number of too many digits"):
        read(line(x="N").replace(b'"N"', b"9" * 5_000))


def test_a_dead_letter_is_shown_whatever_its_body_is() -> None:
    for body in (b'{"a": "\\ud83d"}', b'{"a": NaN}', b"[" * 10_000, b"[" * 10_000 + b"]" * 10_000, b"nothing"):
        document = _body((), body)
        assert document == {"body_text": body.decode()}
        json.dumps(document, ensure_ascii=False).encode()
    assert _body((), b'{"a": [1, "\\ud83d\\ude00"]}') == {"body": {"a": [1, "\U0001f600"]}}
    assert _body((), b"\xff") == {"body_base64": "/w=="}


def test_options_take_small_t_and_z() -> None:
    assert parse_time_ms("2026-03-01t10:00:00z") == AT // 1_000_000
    assert parse_time_ms("2h", datetime(2026, 3, 1, 12, tzinfo=UTC)) == AT // 1_000_000
    assert TimestampType().convert("2026-03-01t10:00:00z", None, None).ToNanoseconds() == AT
    with pytest.raises(click.BadParameter, match="is no time such as"):
        TimestampType().convert("0001-01-01T00:00:00+14:00", None, None)
