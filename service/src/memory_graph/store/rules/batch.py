"""The writes of one transaction, each whole or not at all, and their place in the change feed.

Writes that only create are planned together. Any other write is done in steps: each of its mutations is in the
transaction before the next is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

import msgspec

from memory_graph.model.errors import GraphError
from memory_graph.model.mutations import Applied, CreateEdge, CreateNode, DeleteEdge, DeleteNode, UpdateNode, Write
from memory_graph.model.nodes import Edge, Node
from memory_graph.model.tenants import is_ephemeral
from memory_graph.store.events import Change, events_of
from memory_graph.store.rules.creation import create
from memory_graph.store.rules.deletion import delete_edge, delete_node
from memory_graph.store.rules.references import References
from memory_graph.store.rules.steps import Steps
from memory_graph.store.rules.unit_of_work import PlannedCommit, UnitOfWork, WriteContext
from memory_graph.store.rules.update import update_node

Outcome = Applied | GraphError


class WrittenWrite(msgspec.Struct):
    """A write that is in a transaction. index: among the transaction's commits; None: it changed nothing."""

    results: tuple[Node | Edge | None, ...]
    created: int
    recorded_at: int
    changes: list[Change]
    index: int | None

    def applied(self, before: int) -> Applied:
        """The write as its caller gets it. before: the number before that of the transaction's first commit."""
        seq = 0 if self.index is None else before + 1 + self.index
        return Applied(
            results=self.results, created=self.created, events=events_of(seq, self.recorded_at, self.changes)
        )


def only_creates(write: Write) -> bool:
    """Whether a write can be planned in memory."""
    return all(isinstance(mutation, CreateNode | CreateEdge) for mutation in write.mutations)


def apply_batch(
    unit: UnitOfWork, writes: Sequence[Write], next_recorded_at: Callable[[], int], new_id: Callable[[], str]
) -> Steps[list[WrittenWrite | GraphError]]:
    """Apply writes in order; return the outcome of each."""
    outcomes: list[WrittenWrite | GraphError] = []
    for planned, group in groupby(writes, only_creates):
        contexts = []
        for write in group:
            unit.open_tenant(write.tenant)
            contexts.append((write, WriteContext(write.tenant, next_recorded_at(), new_id)))
        if planned:
            yield unit.fetch(_references([write for write, _ in contexts]))
            outcomes += [_plan(unit, context, write) for write, context in contexts]
            yield unit.flush()
        else:
            for write, context in contexts:
                outcomes.append((yield from _apply_in_steps(unit, context, write)))
    return outcomes


def _references(writes: Sequence[Write]) -> References:
    references = References()
    for write in writes:
        for mutation in write.mutations:
            assert isinstance(mutation, CreateNode | CreateEdge)
            references.add(write.tenant, mutation)
    return references


def _plan(unit: UnitOfWork, context: WriteContext, write: Write) -> WrittenWrite | GraphError:
    begun = unit.begin()
    try:
        results = [create(unit, context, mutation) for mutation in write.mutations]  # type: ignore[arg-type]
    except GraphError as refusal:
        unit.undo(begun)
        return refusal
    return _written(unit, context, results)


def _apply_in_steps(unit: UnitOfWork, context: WriteContext, write: Write) -> Steps[WrittenWrite | GraphError]:
    unit.begin()
    yield unit.savepoint()
    outcome: WrittenWrite | GraphError
    try:
        results: list[tuple[Node | Edge | None, int]] = []
        for mutation in write.mutations:
            unit.forget()
            match mutation:
                case CreateNode() | CreateEdge():
                    references = References()
                    references.add(write.tenant, mutation)
                    yield unit.fetch(references)
                    results.append(create(unit, context, mutation))
                case UpdateNode():
                    results.append(((yield from update_node(unit, context, mutation)), 0))
                case DeleteNode():
                    yield from delete_node(unit, context, mutation)
                    results.append((None, 0))
                case DeleteEdge():
                    yield from delete_edge(unit, context, mutation)
                    results.append((None, 0))
            yield unit.flush()
        if is_ephemeral(write.tenant):
            yield unit.drop_history(write.tenant)
        outcome = _written(unit, context, results)
    except GraphError as refusal:
        yield unit.roll_back(refusal)
        unit.discard()
        unit.changes = []
        outcome = refusal
    yield unit.release_savepoint()
    unit.forget()
    return outcome


def _written(
    unit: UnitOfWork, context: WriteContext, results: Sequence[tuple[Node | Edge | None, int]]
) -> WrittenWrite:
    """Give the write its place in the change feed, unless it changed nothing or its tenant has no feed."""
    changes, index = [] if is_ephemeral(context.tenant) else unit.changes, None
    if changes:
        sessions = {change[3] for change in changes}
        session_id = sessions.pop() if len(sessions) == 1 else None
        session = None if session_id is None else unit.sessions.get((context.tenant, session_id))
        index = len(unit.commits)
        unit.commits.append(PlannedCommit(context.tenant, session_id, session, context.recorded_at, changes))
    return WrittenWrite(
        tuple([result for result, _ in results]),
        sum([created for _, created in results]),
        context.recorded_at,
        changes,
        index,
    )
