"""Committing a batch of writes in one transaction, each write whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import apsw

from memory_graph.model.errors import GraphError
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
from memory_graph.store.events import encode, events_of
from memory_graph.store.ids import storable
from memory_graph.store.sqlite import changes, commits
from memory_graph.store.sqlite.connection import failures
from memory_graph.store.sqlite.create import WriteContext, create_edge, create_node, named_edges, named_nodes
from memory_graph.store.sqlite.delete import delete_edge, delete_node
from memory_graph.store.sqlite.history import drop_traces
from memory_graph.store.sqlite.rows import SqliteRows
from memory_graph.store.sqlite.unit_of_work import SqliteUnitOfWork
from memory_graph.store.sqlite.update import update_node

Outcome = Applied | GraphError

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
        self._clock = clock
        self._new_id = new_id
        self._keep_changes = keep_changes
        self._tenants: dict[str, int] = {}
        newest: Any = connection.execute("SELECT seq, recorded_at FROM changes ORDER BY seq DESC LIMIT 1").fetchone()
        self._seq: int = newest[0] if newest else 0
        self._recorded_at: int = newest[1] if newest else 0

    def commit(self, writes: Sequence[Write]) -> list[Outcome]:
        """Commits what can be; yields for each write what came of it. Raises `StoreUnavailable` or
        `StoreCorrupt` when nothing of the batch was kept."""
        with failures(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                batch = _SqliteBatch(self._connection, self._rows, self._tenants, self._seq, self._recorded_at)
                outcomes = batch.run(writes, self._clock, self._new_id)
                changes.trim(self._connection, batch.seq, self._keep_changes)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        self._tenants, self._seq, self._recorded_at = batch.unit.tenants, batch.seq, batch.recorded_at
        return outcomes

    def probe(self) -> None:
        """Commits a row that means nothing and takes the room of a small write, and gives the room back. Raises
        `StoreUnavailable` when the file cannot be written, or cannot grow."""
        with failures(self._path):
            self._connection.execute("UPDATE probe SET at = zeroblob(?)", (_PROBE_BYTES,))
            self._connection.execute("UPDATE probe SET at = ?", (self._clock(),))

    def move_cursor(self, reader: str, seq: int) -> None:
        """Commits how far a reader of the commit log has come. Raises as `probe` does."""
        with failures(self._path):
            commits.move(self._connection, reader, seq)

    def close(self) -> None:
        """Moves the log into the file and closes it."""
        with failures(self._path):
            self._connection.close()


def _only_creates(write: Write) -> bool:
    return all(isinstance(mutation, CreateNode | CreateEdge) for mutation in write.mutations)


class _SqliteBatch:
    def __init__(
        self, connection: apsw.Connection, rows: SqliteRows, tenants: dict[str, int], seq: int, recorded_at: int
    ) -> None:
        self.unit = SqliteUnitOfWork(connection, rows, tenants)
        self.seq = seq
        self.recorded_at = recorded_at

    def run(self, writes: Sequence[Write], clock: Callable[[], int], new_id: Callable[[], str]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for together, group in groupby(writes, _only_creates):
            scoped = [(write, self._context(write.tenant, clock, new_id)) for write in group]
            if together:
                self._fetch(scoped)
                outcomes += [self._planned(write, context) for write, context in scoped]
                self.unit.flush()
            else:
                outcomes += [self._stepwise(write, context) for write, context in scoped]
        return outcomes

    def _context(self, tenant: str, clock: Callable[[], int], new_id: Callable[[], str]) -> WriteContext:
        self.recorded_at = max(clock(), self.recorded_at + 1)
        return WriteContext(name=tenant, tenant=self.unit.tenant(tenant), recorded_at=self.recorded_at, new_id=new_id)

    def _fetch(self, scoped: Sequence[tuple[Write, WriteContext]]) -> None:
        wanted: dict[int, tuple[dict[str, None], dict[str, None]]] = {}
        for write, context in scoped:
            nodes, edges = wanted.setdefault(context.tenant, ({}, {}))
            for mutation in write.mutations:
                assert isinstance(mutation, CreateNode | CreateEdge)
                nodes.update(dict.fromkeys(named_nodes(mutation)))
                edges.update(dict.fromkeys(named_edges(mutation)))
        for tenant, (nodes, edges) in wanted.items():
            self.unit.fetch(tenant, nodes, edges)

    def _planned(self, write: Write, context: WriteContext) -> Outcome:
        begun = self.unit.begin()
        try:
            results = [self._mutate(context, mutation) for mutation in write.mutations]
        except GraphError as refusal:
            self.unit.undo(begun)
            return refusal
        return self._applied(context, results)

    def _stepwise(self, write: Write, context: WriteContext) -> Outcome:
        """A write that replaces or ends rows: each mutation is in the transaction before the next is looked at."""
        unit = self.unit
        unit.begin()
        unit.connection.execute("SAVEPOINT one_write")
        try:
            results = []
            for mutation in write.mutations:
                unit.forget()
                if isinstance(mutation, CreateNode | CreateEdge):
                    unit.fetch(context.tenant, named_nodes(mutation), named_edges(mutation))
                results.append(self._mutate(context, mutation))
                unit.flush()
            outcome: Outcome = self._applied(context, results)
            unit.flush()
            if is_ephemeral(context.name):
                drop_traces(unit.connection, context.tenant)
        except GraphError as refusal:
            unit.connection.execute("ROLLBACK TO one_write")
            unit.discard()
            unit.changes.clear()
            outcome = refusal
        unit.connection.execute("RELEASE one_write")
        unit.forget()
        return outcome

    def _mutate(self, context: WriteContext, mutation: Mutation) -> tuple[Node | Edge | None, int]:
        match mutation:
            case CreateNode():
                return create_node(self.unit, context, mutation)
            case CreateEdge():
                return create_edge(self.unit, context, mutation)
            case UpdateNode():
                return update_node(self.unit, context, mutation), 0
            case DeleteNode(node_id=id, at=at, relink_edge_id=edge_id):
                delete_node(self.unit, context, id, storable("at", at), edge_id)
            case DeleteEdge(edge_id=id, at=at):
                delete_edge(self.unit, context, id, storable("at", at))
        return None, 0

    def _applied(self, context: WriteContext, results: Sequence[tuple[Node | Edge | None, int]]) -> Applied:
        """Gives the write its place in the feed, unless it changed nothing or nobody is told of its tenant."""
        told = [] if is_ephemeral(context.name) else self.unit.changes
        if told:
            self.seq += 1
            sessions = {session for *_, session in told}
            shared = self._session_number(context, sessions.pop()) if len(sessions) == 1 else None
            self.unit.change_rows.append((self.seq, context.tenant, shared, context.recorded_at, encode(told)))
        return Applied(
            results=tuple(result for result, _ in results),
            created=sum(new for _, new in results),
            events=events_of(self.seq, context.recorded_at, told),
        )

    def _session_number(self, context: WriteContext, id: str | None) -> int | None:
        ref = None if id is None else self.unit.node(context.tenant, id)
        return None if ref is None else ref.n
