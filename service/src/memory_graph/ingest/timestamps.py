"""Times as events tell them."""

from __future__ import annotations

from datetime import UTC, datetime

from memory_graph.store.ids import LATEST

NS_PER_MS = 1_000_000
LATEST_MS = LATEST // NS_PER_MS
"""The last millisecond that can be stored."""


def milliseconds(sent: float | str) -> int:
    """Milliseconds since 1970-01-01T00:00:00Z of ISO 8601 (without an offset: UTC) or of such milliseconds.

    Raises:
        ValueError: for what is neither.
    """
    try:
        if not isinstance(sent, str):
            return int(sent)
        at = datetime.fromisoformat(sent)
        return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except OverflowError:
        raise ValueError(sent) from None
