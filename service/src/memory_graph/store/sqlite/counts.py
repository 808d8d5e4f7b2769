"""Counters (rules.counters) as rows of `counts`: one for each kind that was ever counted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import apsw

from memory_graph.store.rules.counters import ACTIVE_SESSIONS as _ACTIVE_SESSIONS
from memory_graph.store.rules.counters import COUNTERS
from memory_graph.store.rules.counters import EDGES as _EDGES

EDGES = 100
ACTIVE_SESSIONS = 101
WHOLE_TENANT = 0
"""The session number that stands for all of a tenant."""

STORED_KINDS = {kind: kind for kind in range(COUNTERS)} | {_EDGES: EDGES, _ACTIVE_SESSIONS: ACTIVE_SESSIONS}
"""The kind of a row by the index of its counter."""
_INDEXES = {kind: index for index, kind in STORED_KINDS.items()}


def counters(rows: Iterable[Any]) -> list[int]:
    """The counters of rows of kind and count."""
    counts = [0] * COUNTERS
    for kind, count in rows:
        counts[_INDEXES[kind]] = count
    return counts


def read(connection: apsw.Connection, tenant: int, session: int) -> list[int]:
    """The counters of a session, or of the whole tenant."""
    rows = connection.execute("SELECT kind, count FROM counts WHERE tenant = ? AND session = ?", (tenant, session))
    return counters(rows)
