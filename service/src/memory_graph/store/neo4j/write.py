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
from memory_graph.model.mutations import (
    Applied,
    CreateEdge,
    CreateNode,
    DeleteEdge,
    DeleteNode,
    Mutation,
    UpdateNode,
    Write,
)
from memory_graph.model.nodes import Edge, Node
from memory_graph.model.tenants import is_ephemeral
from memory_graph.store.events import Change, events_of
from memory_graph.store.ids import storable
from memory_graph.store.neo4j import changes, create
from memory_graph.store.neo4j.connection import CommitUnknown, Database, do
from memory_graph.store.neo4j.create import WriteContext
from memory_graph.store.neo4j.delete import delete_edge, delete_node
from memory_graph.store.neo4j.rows import Neo4jRows
from memory_graph.store.neo4j.sequence import HybridLogicalClock
from memory_graph.store.neo4j.statements import DROP_VERSIONS
from memory_graph.store.neo4j.unit_of_work import ConcurrentModification, Neo4jUnitOfWork, PlannedCommit
from memory_graph.store.neo4j.update import update_node

Outcome = Applied | GraphError

_log = structlog.get_logger(__name__)

_ATTEMPTS = 10
_PAUSE_S = 0.05
_ENTITY_GONE = "Neo.ClientError.Statement.EntityNotFound"


class _WriteRefused(Exception):
    """A write that had begun to change the database was refused."""

    def __init__(self, refusal: GraphError) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


class _Done(msgspec.Struct):
    """A write that is in a transaction. place: among the transaction's commits; None: it changed nothing."""

    results: tuple[Node | Edge | None, ...]
    created: int
    recorded_at: int
    changes: list[Change]
    place: int | None


class _Attempt(msgspec.Struct):
    """A transaction as it was last tried. before: the number before the first of its commits, once it is known."""

    batch: str
    outcomes: list[_Done | GraphError] = []
    careful: bool = False
    in_doubt: bool = False
    before: int = 0
    dropped: int = 0


class Neo4jCommitter:
    """Commits batches, one at a time.

    sequence: recorded times and storage order. new_id: ids the store needs. keep_changes: commits the feed keeps.
    """

    def __init__(
        self,
        database: Database,
        rows: Neo4jRows,
        sequence: HybridLogicalClock,
        *,
        new_id: Callable[[], str],
        keep_changes: int,
    ) -> None:
        self._database = database
        self._rows = rows
        self._clock = sequence
        self._new_id = new_id
        self._keep_changes = keep_changes
        self._newest = 0

    async def commit(self, writes: Sequence[Write]) -> list[Outcome]:
        """Commits what can be; yields for each write what came of it. Raises `StoreUnavailable` when nothing of the
        batch was kept."""
        try:
            return await self._together(writes)
        except _WriteRefused as refused:
            if len(writes) == 1:
                return [refused.refusal]
        outcomes: list[Outcome] = []
        for together, group in groupby(writes, _only_creates):
            some = list(group)
            for part in [some] if together else [[write] for write in some]:
                outcomes += await self._apart(part)
        return outcomes

    async def _apart(self, writes: Sequence[Write]) -> Sequence[Outcome]:
        try:
            return await self._together(writes)
        except _WriteRefused as refused:
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
            before = await changes.kept(tx, attempt.batch, self._newest)
            if before is not None:
                attempt.before = before
                return
        unit = Neo4jUnitOfWork(tx, self._rows, self._clock)
        outcomes: list[_Done | GraphError] = []
        for together, group in groupby(writes, _only_creates):
            scoped = [
                (write, WriteContext(write.tenant, self._clock.next_recorded_at(), self._new_id)) for write in group
            ]
            if together:
                creations = [(context, mutation) for write, context in scoped for mutation in write.mutations]
                await create.fetch(unit, creations, careful=attempt.careful)  # type: ignore[arg-type]
                outcomes += [_planned(unit, context, write) for write, context in scoped]
                await unit.flush()
            else:
                outcomes += [await _stepwise(unit, context, write, attempt.careful) for write, context in scoped]
        place = await changes.append(unit, attempt.batch)
        if place is not None:
            attempt.before, attempt.dropped = place.before, place.dropped
        attempt.outcomes = outcomes

    async def _settled(self, attempt: _Attempt) -> list[Outcome]:
        told = [outcome for outcome in attempt.outcomes if isinstance(outcome, _Done) and outcome.place is not None]
        if told:
            self._newest = attempt.before + len(told)
            if self._newest - attempt.dropped > self._keep_changes + max(self._keep_changes // 10, 1):
                await self._trim()
        return [
            outcome if isinstance(outcome, GraphError) else _applied(outcome, attempt.before)
            for outcome in attempt.outcomes
        ]

    async def _trim(self) -> None:
        try:
            await self._database.write(partial(changes.trim, keep=self._keep_changes))
        except Exception as error:  # noqa: BLE001 - the writes are committed; the next commit drops what is too old
            _log.warning("old commits not dropped", error_type=type(error).__name__, reason=str(error))


def _only_creates(write: Write) -> bool:
    return all(isinstance(mutation, CreateNode | CreateEdge) for mutation in write.mutations)


def _planned(unit: Neo4jUnitOfWork, context: WriteContext, write: Write) -> _Done | GraphError:
    begun = unit.begin()
    try:
        results = [_create(unit, context, mutation) for mutation in write.mutations]
    except GraphError as refusal:
        unit.undo(begun)
        return refusal
    return _done(unit, context, results)


async def _stepwise(unit: Neo4jUnitOfWork, context: WriteContext, write: Write, careful: bool) -> _Done:
    """A write that replaces or ends: each mutation is in the transaction before the next is looked at."""
    unit.begin()
    results: list[tuple[Node | Edge | None, int]] = []
    try:
        for mutation in write.mutations:
            unit.forget()
            if isinstance(mutation, CreateNode | CreateEdge):
                await create.fetch(unit, [(context, mutation)], careful=careful)
                results.append(_create(unit, context, mutation))
            else:
                results.append((await _change(unit, context, mutation), 0))
            await unit.flush()
        if is_ephemeral(context.tenant):
            for statement in DROP_VERSIONS:
                await do(unit.tx, statement, tenant=context.tenant)
    except GraphError as refusal:
        raise _WriteRefused(refusal) from refusal
    unit.forget()
    return _done(unit, context, results)


def _create(unit: Neo4jUnitOfWork, context: WriteContext, mutation: Mutation) -> tuple[Node | Edge, int]:
    if isinstance(mutation, CreateNode):
        return create.create_node(unit, context, mutation)
    assert isinstance(mutation, CreateEdge)
    return create.create_edge(unit, context, mutation)


async def _change(unit: Neo4jUnitOfWork, context: WriteContext, mutation: Mutation) -> Node | None:
    match mutation:
        case UpdateNode():
            return await update_node(unit, context, mutation)
        case DeleteNode(node_id=id, at=at, relink_edge_id=edge_id):
            await delete_node(unit, context, id, storable("at", at), edge_id)
        case DeleteEdge(edge_id=id, at=at):
            await delete_edge(unit, context, id, storable("at", at))
    return None


def _done(unit: Neo4jUnitOfWork, context: WriteContext, results: Sequence[tuple[Node | Edge | None, int]]) -> _Done:
    """Gives the write its place in the feed, unless it changed nothing or nobody is told of its tenant."""
    told, place = [] if is_ephemeral(context.tenant) else unit.changes, None
    if told:
        sessions = {session for *_, session in told}
        shared = sessions.pop() if len(sessions) == 1 else None
        place = len(unit.commits)
        unit.commits.append(PlannedCommit(context.tenant, shared, context.recorded_at, told))
    return _Done(
        tuple(result for result, _ in results), sum(new for _, new in results), context.recorded_at, told, place
    )


def _applied(done: _Done, before: int) -> Applied:
    seq = 0 if done.place is None else before + 1 + done.place
    return Applied(results=done.results, created=done.created, events=events_of(seq, done.recorded_at, done.changes))
