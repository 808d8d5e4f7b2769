"""Creating nodes and edges: planned in the unit of work, so that many creations share their statements.

Edges that come with a node, and links of a chain, have ids the service made: that these are new is left to the
uniqueness constraint, unless `careful`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from memory_graph.model.errors import AlreadyExists, NotFound, SessionClosed
from memory_graph.model.kinds import EdgeType, EventType, NodeType
from memory_graph.model.mutations import CreateEdge, CreateNode
from memory_graph.model.nodes import Edge, Node, SessionData, is_stub
from memory_graph.store.ids import storable, to_bytes
from memory_graph.store.neo4j.unit_of_work import Key, Neo4jUnitOfWork, NodeRef, SessionRef
from memory_graph.store.rules.idempotency import PARENTS, same_edge, same_node, without_count


class WriteContext(msgspec.Struct, frozen=True):
    """Whose write it is, when the store learns of it, and where ids the store needs come from."""

    tenant: str
    recorded_at: int
    new_id: Callable[[], str]


Creation = tuple[WriteContext, CreateNode | CreateEdge]


async def fetch(unit: Neo4jUnitOfWork, creations: Sequence[Creation], *, careful: bool) -> None:
    """Reads what the creations need to know, and locks the sessions and templates they change."""
    created: list[Key] = []
    named: list[Key] = []
    places: list[Key] = []
    edges: list[Key] = []
    for context, mutation in creations:
        tenant = context.tenant
        if isinstance(mutation, CreateEdge):
            edges.append((tenant, mutation.edge.id))
            named += [(tenant, mutation.edge.from_id), (tenant, mutation.edge.to_id)]
            continue
        created.append((tenant, mutation.node.id))
        places += ((tenant, id) for id in _places(mutation))
        named += ((tenant, end) for edge in mutation.edges for end in (edge.from_id, edge.to_id))
        if careful:
            edges += ((tenant, id) for id in _edge_ids(mutation))
    await unit.fetch(created, named + places, edges)
    stubs = [key for key in created if _is_stub(unit.node(key))]
    await unit.lock([*_changed(unit, places), *stubs])
    if stubs:
        await unit.fetch(stubs, (), ())  # another process may have filled one before it was locked here


def _places(mutation: CreateNode) -> Iterator[str]:
    """Ids of the nodes that change, or say which session changes, with a new node."""
    for id in (mutation.parent_id, mutation.node.session_id, mutation.counts_use_of):
        if id is not None and id != mutation.node.id:
            yield id


def _edge_ids(mutation: CreateNode) -> Iterator[str]:
    for edge in mutation.edges:
        yield edge.id
    if mutation.follows_edge_id is not None:
        yield mutation.follows_edge_id


def _is_stub(found: NodeRef | None) -> bool:
    return found is not None and found.node is not None and is_stub(found.node)


def _changed(unit: Neo4jUnitOfWork, places: Sequence[Key]) -> Iterator[Key]:
    for tenant, id in places:
        found = unit.node((tenant, id))
        if found is None:
            continue
        if found.type is NodeType.TEMPLATE:
            yield tenant, id
        if found.session_id is not None:
            yield tenant, found.session_id


def create_node(unit: Neo4jUnitOfWork, context: WriteContext, mutation: CreateNode) -> tuple[Node, int]:
    """Plans a node with its edges. Yields it as stored, and 1 if it is new, else 0."""
    node = mutation.node
    known = unit.node((context.tenant, node.id))
    if known is not None:
        assert known.node is not None
        if not mutation.observed and not same_node(known.node, node):
            raise AlreadyExists("node", node.id)
        if not mutation.observed or not is_stub(known.node) or is_stub(node):
            return known.node, 0
    storable("node.created_at", node.created_at)
    storable("node.updated_at", node.updated_at)
    template = _required(unit, context, mutation.counts_use_of, NodeType.TEMPLATE)
    session = _session_of(unit, context, mutation)
    stored = _plan_node(unit, context, node, session, stub=known)
    for edge in mutation.edges:
        _plan_edge(unit, context, edge, stored.session_id)
    if session is not None and node.type is NodeType.PROMPT:
        _plan_follows(unit, context, session, stored, mutation.follows_edge_id or context.new_id())
    if template is not None:
        unit.increment_usage((context.tenant, template.id))
    return stored, 1


def create_edge(unit: Neo4jUnitOfWork, context: WriteContext, mutation: CreateEdge) -> tuple[Edge, int]:
    """Plans an edge. Yields it as stored, and 1 if it is new, else 0."""
    source = unit.node((context.tenant, mutation.edge.from_id))
    return _plan_edge(unit, context, mutation.edge, source.session_id if source else None)


def _required(unit: Neo4jUnitOfWork, context: WriteContext, id: str | None, type: NodeType | None) -> NodeRef | None:
    if id is None:
        return None
    ref = unit.node((context.tenant, id))
    if ref is None or (type is not None and ref.type is not type):
        raise NotFound("node" if type is None else type.name.lower().replace("_", " "), id)
    return ref


def _session_of(unit: Neo4jUnitOfWork, context: WriteContext, mutation: CreateNode) -> SessionRef | None:
    node = mutation.node
    if isinstance(node.data, SessionData):
        return SessionRef(context.tenant, node.id, node.data.is_active, None)
    if mutation.parent_id is not None:
        place = _required(unit, context, mutation.parent_id, PARENTS.get(node.type))
    else:
        place = _required(unit, context, node.session_id, NodeType.SESSION)
    if place is None or place.session_id is None:
        return None
    session = unit.sessions[context.tenant, place.session_id]
    if not session.active and not mutation.observed:
        raise SessionClosed(session.id)
    return session


def _plan_node(
    unit: Neo4jUnitOfWork, context: WriteContext, node: Node, session: SessionRef | None, stub: NodeRef | None
) -> Node:
    stored = Node(
        id=node.id,
        type=node.type,
        data=without_count(node.data),
        created_at=node.created_at,
        updated_at=node.updated_at,
        session_id=None if session is None else session.id,
        recorded_at=context.recorded_at,
    )
    made = (
        unit.add_node(context.tenant, stored) if stub is None else unit.materialize_stub(context.tenant, stored, stub)
    )
    if session is not None and session.id == node.id:
        session.made = made
        unit.open(session)
    created = EventType.SESSION_CREATED if node.type is NodeType.SESSION else EventType.NODE_CREATED
    if stub is not None:
        created = EventType.NODE_UPDATED
    unit.changes.append((created, node.type, node.id, to_bytes(node.id), stored.session_id))
    return stored


def _plan_follows(
    unit: Neo4jUnitOfWork, context: WriteContext, session: SessionRef, prompt: Node, edge_id: str
) -> None:
    last = unit.append_to_chain(session, prompt.id)
    if last is not None:
        link(unit, context, (prompt.id, last), edge_id, prompt.created_at, session.id)


def link(
    unit: Neo4jUnitOfWork, context: WriteContext, ends: tuple[str, str], edge_id: str, at: int, session_id: str | None
) -> None:
    """Plans a link of a session's chain, from a prompt to the one it follows."""
    if unit.knows_edge((context.tenant, edge_id)):
        raise AlreadyExists("edge", edge_id)
    follows = Edge(
        id=edge_id,
        type=EdgeType.FOLLOWS,
        from_id=ends[0],
        to_id=ends[1],
        created_at=at,
        recorded_at=context.recorded_at,
    )
    unit.add_edge(context.tenant, follows, chain=True)
    unit.changes.append((EventType.EDGE_CREATED, EdgeType.FOLLOWS, edge_id, to_bytes(edge_id), session_id))


def _plan_edge(unit: Neo4jUnitOfWork, context: WriteContext, edge: Edge, session_id: str | None) -> tuple[Edge, int]:
    key = (context.tenant, edge.id)
    if unit.knows_edge(key):
        stored = unit.edge(key)
        if stored is None or not same_edge(stored, edge):
            raise AlreadyExists("edge", edge.id)
        return stored, 0
    storable("edge.created_at", edge.created_at)
    source = unit.node((context.tenant, edge.from_id))
    target = unit.node((context.tenant, edge.to_id))
    if source is None or target is None:
        raise NotFound("node", edge.from_id if source is None else edge.to_id)
    made = msgspec.structs.replace(edge, recorded_at=context.recorded_at)
    unit.add_edge(context.tenant, made)
    raw = to_bytes(edge.id)
    unit.changes.append((EventType.EDGE_CREATED, edge.type, edge.id, raw, session_id or target.session_id))
    return made, 1
