"""Creating nodes and edges: planned in the unit of work, so that many creations share their statements."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from memory_graph.model.errors import AlreadyExists, NotFound, SessionClosed
from memory_graph.model.kinds import EdgeType, EventType, NodeType
from memory_graph.model.mutations import CreateEdge, CreateNode
from memory_graph.model.nodes import Edge, Node, NodeData, SessionData, is_stub
from memory_graph.store.ids import storable
from memory_graph.store.rules.idempotency import PARENTS, same_edge, same_node, without_count
from memory_graph.store.sqlite.rows import attribute_rows, text_row
from memory_graph.store.sqlite.unit_of_work import EdgeRef, NodeRef, SessionRef, SqliteUnitOfWork


class WriteContext(msgspec.Struct, frozen=True):
    """Whose write it is, when the store learns of it, and where ids the store needs come from."""

    name: str
    tenant: int
    recorded_at: int
    new_id: Callable[[], str]


def named_nodes(mutation: CreateNode | CreateEdge) -> Iterator[str]:
    """Ids of the nodes a creation reads."""
    if isinstance(mutation, CreateEdge):
        yield mutation.edge.from_id
        yield mutation.edge.to_id
        return
    yield mutation.node.id
    for id in (mutation.parent_id, mutation.node.session_id, mutation.counts_use_of):
        if id is not None:
            yield id
    for edge in mutation.edges:
        yield edge.from_id
        yield edge.to_id


def named_edges(mutation: CreateNode | CreateEdge) -> Iterator[str]:
    """Ids of the edges a creation reads."""
    if isinstance(mutation, CreateEdge):
        yield mutation.edge.id
        return
    for edge in mutation.edges:
        yield edge.id
    if mutation.follows_edge_id is not None:
        yield mutation.follows_edge_id


def create_node(unit: SqliteUnitOfWork, context: WriteContext, mutation: CreateNode) -> tuple[Node, int]:
    """Plans a node with its edges. Yields it as stored, and 1 if it is new, else 0."""
    node = mutation.node
    known = unit.node(context.tenant, node.id)
    if known is not None:
        if not mutation.observed:
            return _repeated(unit, context, node, known), 0
        if not _awaits(unit, context, node, known):
            return unit.load(context.name, known), 0
    storable("node.created_at", node.created_at)
    storable("node.updated_at", node.updated_at)
    template = _required(unit, context, mutation.counts_use_of, NodeType.TEMPLATE)
    n = unit.new_n() if known is None else known.n
    session = _session_of(unit, context, mutation, n)
    stored, session_id = _plan_node(unit, context, node, n, session, stub=known)
    for edge in mutation.edges:
        _plan_edge(unit, context, edge, session_id)
    if session is not None and node.type is NodeType.PROMPT:
        _plan_follows(unit, context, session, stored, n, mutation.follows_edge_id or context.new_id())
    if template is not None:
        unit.increment_usage(template.n)
    return stored, 1


def create_edge(unit: SqliteUnitOfWork, context: WriteContext, mutation: CreateEdge) -> tuple[Edge, int]:
    """Plans an edge. Yields it as stored, and 1 if it is new, else 0."""
    edge = mutation.edge
    source = unit.node(context.tenant, edge.from_id)
    return _plan_edge(unit, context, edge, source.session_id if source else None)


def _repeated(unit: SqliteUnitOfWork, context: WriteContext, node: Node, known: NodeRef) -> Node:
    stored = unit.load(context.name, known)
    if not same_node(stored, node):
        raise AlreadyExists("node", node.id)
    return stored


def _awaits(unit: SqliteUnitOfWork, context: WriteContext, node: Node, known: NodeRef) -> bool:
    """Whether the known node is a stub and the node asked for is what it stands for."""
    return known.type is NodeType.INVOCATION and is_stub(unit.load(context.name, known)) and not is_stub(node)


def _required(unit: SqliteUnitOfWork, context: WriteContext, id: str | None, type: NodeType | None) -> NodeRef | None:
    if id is None:
        return None
    ref = unit.node(context.tenant, id)
    if ref is None or (type is not None and ref.type is not type):
        raise NotFound("node" if type is None else type.name.lower().replace("_", " "), id)
    return ref


def _session_of(unit: SqliteUnitOfWork, context: WriteContext, mutation: CreateNode, n: int) -> SessionRef | None:
    node = mutation.node
    if isinstance(node.data, SessionData):
        return SessionRef(n, context.tenant, node.id, unit.raw[node.id], int(node.data.is_active), None)
    if mutation.parent_id is not None:
        place = _required(unit, context, mutation.parent_id, PARENTS.get(node.type))
    else:
        place = _required(unit, context, node.session_id, NodeType.SESSION)
    if place is None or not place.session:
        return None
    session = unit.sessions[place.session]
    if not session.active and not mutation.observed:
        raise SessionClosed(session.id)
    return session


def _plan_node(
    unit: SqliteUnitOfWork, context: WriteContext, node: Node, n: int, session: SessionRef | None, stub: NodeRef | None
) -> tuple[Node, str | None]:
    tenant, raw = context.tenant, unit.raw[node.id]
    data: NodeData = without_count(node.data)
    number, session_id = 0, None
    if session is not None:
        number = session.session
        session_id = session.id
    stored = Node(
        id=node.id,
        type=node.type,
        data=data,
        created_at=node.created_at,
        updated_at=node.updated_at,
        session_id=session_id,
        recorded_at=context.recorded_at,
    )
    content = unit.rows.encode_data(context.name, node.id, data)
    add = unit.add_node if stub is None else unit.materialize_stub
    add(
        node.id,
        NodeRef(n, node.type, number, session_id, stored),
        (n, tenant, raw, int(node.type), number, node.created_at, node.updated_at, node.created_at,
         context.recorded_at, content),
    )  # fmt: skip
    unit.attribute_rows.extend(attribute_rows(tenant, n, node.created_at, data))
    words = text_row(tenant, n, number, data)
    if words is not None:
        unit.text_rows.append(words)
    if session is not None and number == n:
        unit.add_session(session)
    created = EventType.SESSION_CREATED if node.type is NodeType.SESSION else EventType.NODE_CREATED
    if stub is not None:
        created = EventType.NODE_UPDATED
    unit.changes.append((created, node.type, node.id, raw, session_id))
    return stored, session_id


def _plan_follows(
    unit: SqliteUnitOfWork, context: WriteContext, session: SessionRef, prompt: Node, n: int, edge_id: str
) -> None:
    last = unit.append_to_chain(session, n)
    if last is None:
        return
    if edge_id not in unit.raw:
        unit.fetch(context.tenant, (), (edge_id,))
    if unit.edge(context.tenant, edge_id) is not None:
        raise AlreadyExists("edge", edge_id)
    e = unit.next_e
    unit.next_e += 1
    raw = unit.raw[edge_id]
    unit.add_edge(
        edge_id,
        EdgeRef(e),
        (e, context.tenant, raw, int(EdgeType.FOLLOWS), n, last, prompt.created_at, context.recorded_at, 1, None),
    )
    unit.changes.append((EventType.EDGE_CREATED, EdgeType.FOLLOWS, edge_id, raw, prompt.session_id))


def _plan_edge(unit: SqliteUnitOfWork, context: WriteContext, edge: Edge, session_id: str | None) -> tuple[Edge, int]:
    known = unit.edge(context.tenant, edge.id)
    if known is not None:
        return _repeated_edge(unit, context, edge, known), 0
    storable("edge.created_at", edge.created_at)
    source = unit.node(context.tenant, edge.from_id)
    target = unit.node(context.tenant, edge.to_id)
    if source is None or target is None:
        raise NotFound("node", edge.from_id if source is None else edge.to_id)
    e = unit.next_e
    unit.next_e += 1
    raw = unit.raw[edge.id]
    stored = Edge(
        id=edge.id,
        type=edge.type,
        from_id=edge.from_id,
        to_id=edge.to_id,
        created_at=edge.created_at,
        properties=edge.properties,
        recorded_at=context.recorded_at,
    )
    properties = unit.rows.encode_properties(context.name, edge)
    unit.add_edge(
        edge.id,
        EdgeRef(e, stored),
        (
            e,
            context.tenant,
            raw,
            int(edge.type),
            source.n,
            target.n,
            edge.created_at,
            context.recorded_at,
            0,
            properties,
        ),
    )
    unit.changes.append((EventType.EDGE_CREATED, edge.type, edge.id, raw, session_id or target.session_id))
    return stored, 1


def _repeated_edge(unit: SqliteUnitOfWork, context: WriteContext, edge: Edge, known: EdgeRef) -> Edge:
    stored = unit.load_edge(context.name, known)
    if stored is None or not same_edge(stored, edge):
        raise AlreadyExists("edge", edge.id)
    return stored
