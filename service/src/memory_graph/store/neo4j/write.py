"""Committing a batch of writes in one transaction, each write whole or not at all.

All writes of a batch are tried in one transaction. Creations that are refused are refused before anything of them is
written. Where a write with other mutations is refused, what it has done cannot be taken back alone: the transaction is
rolled back, and such writes get one of their own each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby

import msgspec
import structlog
from neo4j import AsyncManagedTransaction
from neo4j.exceptions import ClientError, ConstraintError

from memory_graph.model.errors import GraphError, StoreUnavailable
from memory_graph.model.mutations import Write
from memory_graph.store.neo4j import changes
from memory_graph.store.neo4j.connection import CommitUnknown, Neo4jConnection
from memory_graph.store.neo4j.history import ConcurrentModification, WriteRefused
from memory_graph.store.neo4j.rows import Neo4jRows
from memory_graph.store.neo4j.unit_of_work import Neo4jUnitOfWork
from memory_graph.store.rules.batch import Outcome, WrittenWrite, apply_batch, only_creates
from memory_graph.store.rules.sequence import HybridLogicalClock
from memory_graph.store.rules.steps import run_async

_log = structlog.get_logger(__name__)

_ATTEMPTS = 10
_PAUSE_S = 0.05
_ENTITY_GONE = "Neo.ClientError.Statement.EntityNotFound"


class _Attempt(msgspec.Struct):
    """A transaction as it was last tried. before: the number before the first of its commits, once it is known."""

    batch: str
    outcomes: list[WrittenWrite | GraphError] = []
    careful: bool = False
    in_doubt: bool = False
    before: int = 0
    dropped: int = 0


class Neo4jCommitter:
    """Commits batches, one at a time.

    clock: recorded times and storage order. new_id: ids the store needs. keep_changes: commits the feed keeps.
    """

    def __init__(
        self,
        database: Neo4jConnection,
        rows: Neo4jRows,
        clock: HybridLogicalClock,
        *,
        new_id: Callable[[], str],
        keep_changes: int,
    ) -> None:
        self._database = database
        self._rows = rows
        self._clock = clock
        self._new_id = new_id
        self._keep_changes = keep_changes
        self._newest = 0

    async def commit(self, writes: Sequence[Write]) -> list[Outcome]:
        """Commits what can be; yields for each write what came of it. Raises `StoreUnavailable` when nothing of the
        batch was kept."""
        try:
            return await self._together(writes)
        except WriteRefused as refused:
            if len(writes) == 1:
                return [refused.refusal]
        outcomes: list[Outcome] = []
        for together, group in groupby(writes, only_creates):
            some = list(group)
            for part in [some] if together else [[write] for write in some]:
                outcomes += await self._apart(part)
        return outcomes

    async def _apart(self, writes: Sequence[Write]) -> Sequence[Outcome]:
        try:
            return await self._together(writes)
        except WriteRefused as refused:
            return [refused.refusal]
        except StoreUnavailable as error:
            return [error] * len(writes)

    async def _together(self, writes: Sequence[Write]) -> list[Outcome]:
        attempt = _Attempt(self._new_id())
        unknown: CommitUnknown | None = None
        for _ in range(_ATTEMPTS):
            try:
                await self._database.write(partial(self._work, writes, attempt))
            except CommitUnknown as error:
                attempt.in_doubt, unknown = True, error
            except StoreUnavailable as error:
                raise unknown or error from error
            except (ConcurrentModification, ConstraintError):
                attempt.careful = True
            except ClientError as error:
                if error.code != _ENTITY_GONE:
                    raise
            else:
                return await self._settled(attempt)
            await asyncio.sleep(_PAUSE_S)
        raise unknown or StoreUnavailable("other processes keep changing what the write is about; retry")

    async def _work(self, writes: Sequence[Write], attempt: _Attempt, tx: AsyncManagedTransaction) -> None:
        if attempt.in_doubt:
            before = await changes.find_kept_commit(tx, attempt.batch, self._newest)
            if before is not None:
                attempt.before = before
                return
        unit = Neo4jUnitOfWork(tx, self._rows, self._clock, careful=attempt.careful)
        outcomes = await run_async(apply_batch(unit, writes, self._clock.next_recorded_at, self._new_id))
        numbers = await changes.append(unit, attempt.batch)
        if numbers is not None:
            attempt.before, attempt.dropped = numbers.before, numbers.dropped
        attempt.outcomes = outcomes

    async def _settled(self, attempt: _Attempt) -> list[Outcome]:
        commits = sum(isinstance(write, WrittenWrite) and write.index is not None for write in attempt.outcomes)
        if commits:
            self._newest = attempt.before + commits
            if self._newest - attempt.dropped > self._keep_changes + max(self._keep_changes // 10, 1):
                await self._trim()
        return [
            outcome if isinstance(outcome, GraphError) else outcome.applied(attempt.before)
            for outcome in attempt.outcomes
        ]

    async def _trim(self) -> None:
        try:
            await self._database.write(partial(changes.trim, keep=self._keep_changes))
        except Exception as error:  # noqa: BLE001 - the writes are committed; the next commit drops what is too old
            _log.warning("old commits not dropped", error_type=type(error).__name__, reason=str(error))
