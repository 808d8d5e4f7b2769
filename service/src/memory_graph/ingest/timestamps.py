"""The times of events: conversion and checks."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

from memory_graph.model.numbers import whole
from memory_graph.model.times import NS_PER_MS
from memory_graph.store.ids import LATEST

LATEST_MS = LATEST // NS_PER_MS
"""The last millisecond that can be stored."""
EARLIEST_MS = 100_000_000_000
"""1973-03-03. An earlier time was meant in seconds, which are that small until the year 5138."""
_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}:[0-9]{2})?"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def milliseconds(value: float | str) -> int:
    """Return milliseconds since 1970-01-01T00:00:00Z of ISO 8601 (without an offset: UTC) or of milliseconds, also as
    decimal text (proto3 JSON).

    Raises:
        ValueError: if it is neither.
    """
    if isinstance(value, str):
        number = whole(value) if len(value) > 11 else None  # shorter text of digits alone is a date: 20260301
        if number is not None:
            return number
        at = datetime.fromisoformat(value.upper())  # RFC 3339 allows small t and z
        return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH) // _MS
    if not math.isfinite(value):
        raise ValueError(value)
    return int(value)


def nanoseconds(text: str) -> int:
    """Return nanoseconds since 1970-01-01T00:00:00Z of RFC 3339, with up to nine decimals; without an offset: UTC.

    Raises:
        ValueError: if it is no such time, or before 1970 or after 2262.
    """
    match = _RFC3339.fullmatch(text.upper())
    if match is None:
        raise ValueError(text)
    at = datetime.fromisoformat(f"{match[1]}T{match[2]}{match[4] or '+00:00'}")
    ns = (at - _EPOCH) // _MS * NS_PER_MS + int((match[3] or "").ljust(9, "0"))
    if not 0 <= ns <= LATEST:
        raise ValueError(text)
    return ns


def time_problem(field: str, ms: int) -> str | None:
    """Return why a time is wrong, in words that name the field, or None."""
    if 0 < ms < EARLIEST_MS:
        return f"{field} is {ms:,} milliseconds after 1970, as seconds are today; give milliseconds, or ISO 8601"
    if not 0 < ms <= LATEST_MS:
        return f"{field} is missing or out of range; give ISO 8601, or milliseconds since 1970-01-01T00:00:00Z"
    return None
