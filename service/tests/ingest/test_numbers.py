"""Numbers in text of others: what Python's own functions also take is no number of theirs."""

from __future__ import annotations

import pytest

from memory_graph.kafka.dead_letters import retry_count
from memory_graph.model.numbers import number, whole


@pytest.mark.parametrize("text", ["1_0", " 1", "1 ", "+1", "", "-", "1.0", "1e1", "\u0661", "9" * 5_000, str(2**63)])
def test_what_is_no_whole_number(text):
    assert whole(text) is None


@pytest.mark.parametrize("text", ["1_0", " 1", "+1", "", "nan", "inf", "-Infinity", "1e999", "\u0661", "9" * 5_000])
def test_what_is_no_number(text):
    assert number(text) is None


def test_what_is_a_number():
    assert [whole(text) for text in ("0", "7", "-7", "007", str(2**63 - 1))] == [0, 7, -7, 7, 2**63 - 1]
    assert [number(text) for text in ("0", "7", "-7.5", "1e3", "2.5E-1")] == [0, 7, -7.5, 1000, 0.25]


@pytest.mark.parametrize("value", [b"9" * 5_000, b"1_0", b"\xff", b"-3", b"", None])
def test_a_header_that_is_no_count_of_retries_counts_none(value):
    assert retry_count([("x-retry-count", value)]) == 0
