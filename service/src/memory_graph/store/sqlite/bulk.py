"""Many rows in one statement.

Every step of a statement gives up the interpreter's lock and has to win it back from the event loop's thread, which
may hold it for milliseconds. So rows go in by the hundred: bound together, then written without the lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import apsw

_SIZES = (256, 64, 16, 4, 1)
"""Rows a statement; few sizes, so that each stays prepared."""


class BulkInsert:
    """`<head> VALUES (...), (...) <tail>` for any number of rows."""

    def __init__(self, head: str, width: int, tail: str = "") -> None:
        row = f"({', '.join('?' * width)})"
        self._statements = [(size, f"{head} VALUES {','.join([row] * size)} {tail}") for size in _SIZES]

    def __call__(self, connection: apsw.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        written = 0
        remaining = len(rows)
        for size, statement in self._statements:
            while remaining >= size:
                connection.execute(statement, tuple(chain.from_iterable(rows[written : written + size])))
                written += size
                remaining -= size
