"""Committing a batch of writes in one transaction of the file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apsw

from memory_graph.model.errors import GraphError
from memory_graph.model.mutations import Write
from memory_graph.store.rules.batch import Outcome, apply_batch
from memory_graph.store.rules.sequence import HybridLogicalClock
from memory_graph.store.rules.steps import run
from memory_graph.store.sqlite import changes, commits
from memory_graph.store.sqlite.connection import failures
from memory_graph.store.sqlite.rows import SqliteRows
from memory_graph.store.sqlite.unit_of_work import SqliteUnitOfWork

_PROBE_BYTES = 64 * 1024
"""About what the smallest write of a prompt takes of the log: pages of rows, indexes and words."""


class SqliteCommitter:
    """Owns the writing connection. For one thread at a time.

    keep_changes: commits the change feed keeps.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        path: Path,
        rows: SqliteRows,
        *,
        clock: Callable[[], int],
        new_id: Callable[[], str],
        keep_changes: int,
    ) -> None:
        self._connection = connection
        self._path = path
        self._rows = rows
        self._clock = HybridLogicalClock(clock)
        self._new_id = new_id
        self._keep_changes = keep_changes
        self._tenants: dict[str, int] = {}
        newest: Any = connection.execute("SELECT seq, recorded_at FROM changes ORDER BY seq DESC LIMIT 1").fetchone()
        self._seq: int = newest[0] if newest else 0
        self._clock.recorded_at = newest[1] if newest else 0

    def commit(self, writes: Sequence[Write]) -> list[Outcome]:
        """Commit the writes that can be; return the outcome of each. Raises `StoreUnavailable` or `StoreCorrupt` when
        nothing of the batch was kept."""
        with failures(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                unit = SqliteUnitOfWork(self._connection, self._rows, self._tenants)
                outcomes = run(apply_batch(unit, writes, self._clock.next_recorded_at, self._new_id))
                unit.append_commits(self._seq)
                newest = self._seq + len(unit.commits)
                changes.trim(self._connection, newest, self._keep_changes)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        before, self._tenants, self._seq = self._seq, unit.tenants, newest
        return [outcome if isinstance(outcome, GraphError) else outcome.applied(before) for outcome in outcomes]

    def probe(self) -> None:
        """Commit a row that means nothing and takes the room of a small write, and give the room back. Raises
        `StoreUnavailable` when the file cannot be written, or cannot grow."""
        with failures(self._path):
            self._connection.execute("UPDATE probe SET at = zeroblob(?)", (_PROBE_BYTES,))
            self._connection.execute("UPDATE probe SET at = ?", (self._clock.clock(),))

    def move_cursor(self, reader: str, seq: int) -> None:
        """Commit how far a reader of the commit log has come. Raises as `probe` does."""
        with failures(self._path):
            commits.move(self._connection, reader, seq)

    def close(self) -> None:
        """Move the log into the file and close it."""
        with failures(self._path):
            self._connection.close()
