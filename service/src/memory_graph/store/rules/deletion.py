"""Deleting edges, nodes and whole sessions: they move to history, and the chain of prompts closes over a gap."""

from __future__ import annotations

from collections.abc import Sequence

from memory_graph.model.errors import NotFound
from memory_graph.model.kinds import EdgeType, EventType, NodeType
from memory_graph.model.mutations import DeleteEdge, DeleteNode
from memory_graph.store.events import MAX_EVENTS
from memory_graph.store.ids import storable
from memory_graph.store.rules.counters import ACTIVE_SESSIONS, EDGES, nodes_in
from memory_graph.store.rules.creation import link
from memory_graph.store.rules.references import References
from memory_graph.store.rules.steps import Steps
from memory_graph.store.rules.unit_of_work import EdgeEndpoint, NodeRef, UnitOfWork, WriteContext


def delete_edge(unit: UnitOfWork, context: WriteContext, mutation: DeleteEdge) -> Steps[None]:
    """Delete an edge. Raises `NotFound`."""
    at = storable("at", mutation.at)
    edge: tuple[EdgeType, str | None] | None = yield unit.find_edge(context.tenant, mutation.edge_id)
    if edge is None:
        raise NotFound("edge", mutation.edge_id)
    yield unit.delete_edge(context, mutation.edge_id, at)
    unit.count(context.tenant, None, EDGES, -1)
    unit.record(EventType.EDGE_DELETED, edge[0], mutation.edge_id, edge[1])


def delete_node(unit: UnitOfWork, context: WriteContext, mutation: DeleteNode) -> Steps[None]:
    """Delete a node with its edges; a session with all of its nodes and theirs. Raises `NotFound`."""
    at = storable("at", mutation.at)
    tenant = context.tenant
    ref: NodeRef | None = yield unit.find_node(tenant, mutation.node_id)
    if ref is None:
        raise NotFound("node", mutation.node_id)
    unit.record(EventType.NODE_DELETED, ref.type, ref.id, ref.session_id)
    if ref.type is NodeType.SESSION:
        yield from _delete_session(unit, context, ref, at)
        return
    neighbours: tuple[EdgeEndpoint | None, EdgeEndpoint | None] | None = None
    if ref.type is NodeType.PROMPT and ref.session_id is not None:
        neighbours = yield unit.chain_neighbours(tenant, ref)
    yield from _delete_edges(unit, context, ref, at)
    yield unit.delete_nodes(context, ref, at, 1)
    unit.count(tenant, ref.session_id, ref.type, -1)
    if neighbours is not None:
        yield from _close_gap(unit, context, ref, neighbours, at, mutation.relink_edge_id)


def _delete_session(unit: UnitOfWork, context: WriteContext, ref: NodeRef, at: int) -> Steps[None]:
    tenant = context.tenant
    counters: Sequence[int] = yield unit.session_counters(tenant, ref)
    count = nodes_in(counters)
    if count <= MAX_EVENTS:
        nodes: Sequence[tuple[str, NodeType]] = yield unit.session_nodes(tenant, ref)
        for id, type in nodes:
            unit.record(EventType.NODE_DELETED, type, id, ref.id)
    yield from _delete_edges(unit, context, ref, at)
    yield unit.delete_nodes(context, ref, at, count)
    for kind in range(1, ACTIVE_SESSIONS):
        unit.count(tenant, None, kind, -counters[kind])
    unit.count(tenant, None, ACTIVE_SESSIONS, -int(unit.sessions.pop((tenant, ref.id)).active))


def _delete_edges(unit: UnitOfWork, context: WriteContext, ref: NodeRef, at: int) -> Steps[None]:
    """Delete the edges of nodes, and record it unless there are too many."""
    edges: Sequence[tuple[str, EdgeType]]
    edges, count = yield unit.delete_edges(context, ref, at)
    unit.count(context.tenant, None, EDGES, -count)
    if len(edges) + len(unit.changes) <= MAX_EVENTS:
        for id, type in edges:
            unit.record(EventType.EDGE_DELETED, type, id, ref.session_id)


def _close_gap(
    unit: UnitOfWork,
    context: WriteContext,
    ref: NodeRef,
    neighbours: tuple[EdgeEndpoint | None, EdgeEndpoint | None],
    at: int,
    edge_id: str,
) -> Steps[None]:
    """Let the prompt after a deleted one follow the one before it. Where there is none after it, the chain goes on at
    the one before, or at the session's newest prompt if the link to that one was deleted by hand."""
    assert ref.session_id is not None
    session = unit.sessions[context.tenant, ref.session_id]
    before, after = neighbours
    if after is None:
        if session.last_prompt == unit.end_of(ref):
            unit.append_to_chain(session, before or (yield unit.newest_prompt(session)))
    elif before is not None:
        yield unit.fetch(References(edges={(context.tenant, edge_id): None}))
        link(unit, context, (after, before), edge_id, at, session.id)
