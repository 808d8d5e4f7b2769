"""Times as events tell them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

from memory_graph.model.numbers import whole
from memory_graph.store.ids import LATEST

NS_PER_MS = 1_000_000
LATEST_MS = LATEST // NS_PER_MS
"""The last millisecond that can be stored."""
EARLIEST_MS = 100_000_000_000
"""1973-03-03: what is earlier was meant in seconds, which are that small until the year 5138."""
_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}:[0-9]{2})?"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def milliseconds(sent: float | str) -> int:
    """Milliseconds since 1970-01-01T00:00:00Z of ISO 8601 (without an offset: UTC) or of such milliseconds, also as
    decimal text (proto3 JSON).

    Raises:
        ValueError: for what is neither.
    """
    if isinstance(sent, str):
        number = whole(sent) if len(sent) > 11 else None  # shorter text of digits alone is a date: 20260301
        if number is not None:
            return number
        at = datetime.fromisoformat(sent.upper())  # RFC 3339 allows small t and z
        return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH) // _MS
    if not math.isfinite(sent):
        raise ValueError(sent)
    return int(sent)


def nanoseconds(text: str) -> int:
    """Nanoseconds since 1970-01-01T00:00:00Z of a time of RFC 3339, in any of its digits; without an offset: UTC.

    Raises:
        ValueError: for what is none, or before 1970 or after 2262.
    """
    found = _RFC3339.fullmatch(text.upper())
    if found is None:
        raise ValueError(text)
    at = datetime.fromisoformat(f"{found[1]}T{found[2]}{found[4] or '+00:00'}")
    ns = (at - _EPOCH) // _MS * NS_PER_MS + int((found[3] or "").ljust(9, "0"))
    if not 0 <= ns <= LATEST:
        raise ValueError(text)
    return ns


def time_problem(field: str, ms: int) -> str | None:
    """What is wrong with a time, in words that name the field; None where nothing is."""
    if 0 < ms < EARLIEST_MS:
        return f"{field} is {ms:,} milliseconds after 1970, as seconds are today; give milliseconds, or ISO 8601"
    if not 0 < ms <= LATEST_MS:
        return f"{field} is missing or out of range; give ISO 8601, or milliseconds since 1970-01-01T00:00:00Z"
    return None
