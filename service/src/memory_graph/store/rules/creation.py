"""Creating nodes and edges: repeats, session membership, the chain of prompts, stubs, and the ends of edges.

Everything is planned against what the unit of work has fetched; what is refused raises and leaves planned rows behind
for `UnitOfWork.undo`.
"""

from __future__ import annotations

from memory_graph.model.errors import AlreadyExists, NotFound, SessionClosed
from memory_graph.model.kinds import EdgeType, EventType, NodeType
from memory_graph.model.mutations import CreateEdge, CreateNode
from memory_graph.model.nodes import Edge, Node, SessionData, is_stub
from memory_graph.store.ids import storable
from memory_graph.store.rules.idempotency import PARENTS, same_edge, same_node, without_count
from memory_graph.store.rules.unit_of_work import EdgeEndpoint, NodeRef, SessionRef, UnitOfWork, WriteContext


def create(unit: UnitOfWork, context: WriteContext, mutation: CreateNode | CreateEdge) -> tuple[Node | Edge, int]:
    """Plan a creation. Return the node or edge as stored, and 1 if it is new, else 0."""
    if isinstance(mutation, CreateNode):
        return _create_node(unit, context, mutation)
    source = unit.nodes.get((context.tenant, mutation.edge.from_id))
    return _create_edge(unit, context, mutation.edge, source.session_id if source else None)


def _create_node(unit: UnitOfWork, context: WriteContext, mutation: CreateNode) -> tuple[Node, int]:
    node = mutation.node
    tenant, key = context.tenant, (context.tenant, node.id)
    existing = unit.nodes.get(key)
    if existing is not None:
        assert existing.node is not None
        if not mutation.observed and not same_node(existing.node, node):
            raise AlreadyExists("node", node.id)
        if not mutation.observed or not is_stub(existing.node) or is_stub(node):
            return existing.node, 0
    storable("node.created_at", node.created_at)
    storable("node.updated_at", node.updated_at)
    if mutation.counts_use_of is not None:
        _required(unit, tenant, mutation.counts_use_of, NodeType.TEMPLATE)
    session = _session_of(unit, tenant, mutation)
    ref = _plan_node(unit, context, node, session, existing)
    for edge in mutation.edges:
        _create_edge(unit, context, edge, ref.session_id)
    if session is not None and node.type is NodeType.PROMPT:
        prompt = unit.end_of(ref)
        previous = unit.append_to_chain(session, prompt)
        if previous is not None:
            edge_id = mutation.follows_edge_id or context.new_id()
            link(unit, context, (prompt, previous), edge_id, node.created_at, session.id)
    if mutation.counts_use_of is not None:
        unit.increment_usage((tenant, mutation.counts_use_of))
    assert ref.node is not None
    return ref.node, 1


def _required(unit: UnitOfWork, tenant: str, id: str, type: NodeType | None) -> NodeRef:
    ref = unit.nodes.get((tenant, id))
    if ref is None or (type is not None and ref.type is not type):
        raise NotFound("node" if type is None else type.name.lower().replace("_", " "), id)
    return ref


def _session_of(unit: UnitOfWork, tenant: str, mutation: CreateNode) -> SessionRef | None:
    """The session a new node belongs to: itself, its parent's, the one it names, or none."""
    node = mutation.node
    if isinstance(node.data, SessionData):
        return SessionRef(tenant, node.id, 0, node.data.is_active, None)
    if mutation.parent_id is not None:
        session_id = _required(unit, tenant, mutation.parent_id, PARENTS.get(node.type)).session_id
    elif node.session_id is not None:
        session_id = _required(unit, tenant, node.session_id, NodeType.SESSION).session_id
    else:
        return None
    if session_id is None:
        return None
    session = unit.sessions[tenant, session_id]
    if not session.active and not mutation.observed:
        raise SessionClosed(session.id)
    return session


def _plan_node(
    unit: UnitOfWork, context: WriteContext, node: Node, session: SessionRef | None, stub: NodeRef | None
) -> NodeRef:
    session_id = None if session is None else session.id
    stored = Node(
        id=node.id,
        type=node.type,
        data=without_count(node.data),
        created_at=node.created_at,
        updated_at=node.updated_at,
        session_id=session_id,
        recorded_at=context.recorded_at,
    )
    key = (context.tenant, node.id)
    ref = NodeRef(node.id, unit.next_n() if stub is None else stub.n, node.type, session_id, stored)
    if stub is None:
        event = EventType.SESSION_CREATED if node.type is NodeType.SESSION else EventType.NODE_CREATED
        unit.created_nodes.append(key)
    else:
        event = EventType.NODE_UPDATED
        unit.stubs.append((key, stub))
    unit.nodes[key] = ref
    if session is not None and session_id == node.id:
        session.n = ref.n
        unit.sessions[key] = session
        unit.opened.append(session)
    unit.add_node(context, ref, session, stub=stub is not None)
    unit.changes.append((event, node.type, node.id, session_id))
    return ref


def link(
    unit: UnitOfWork,
    context: WriteContext,
    ends: tuple[EdgeEndpoint, EdgeEndpoint],
    edge_id: str,
    at: int,
    session_id: str,
) -> None:
    """Plan a link of a session's chain, from a prompt to the one it follows."""
    key = (context.tenant, edge_id)
    if key in unit.edges:
        raise AlreadyExists("edge", edge_id)
    unit.edges[key] = None
    unit.created_edges.append(key)
    unit.add_link(context, edge_id, ends[0], ends[1], at)
    unit.changes.append((EventType.EDGE_CREATED, EdgeType.FOLLOWS, edge_id, session_id))


def _create_edge(unit: UnitOfWork, context: WriteContext, edge: Edge, session_id: str | None) -> tuple[Edge, int]:
    tenant, key = context.tenant, (context.tenant, edge.id)
    if key in unit.edges:
        existing = unit.edges[key]
        if existing is None or not same_edge(existing, edge):
            raise AlreadyExists("edge", edge.id)
        return existing, 0
    storable("edge.created_at", edge.created_at)
    source = unit.nodes.get((tenant, edge.from_id))
    target = unit.nodes.get((tenant, edge.to_id))
    if source is None or target is None:
        raise NotFound("node", edge.from_id if source is None else edge.to_id)
    stored = Edge(
        id=edge.id,
        type=edge.type,
        from_id=edge.from_id,
        to_id=edge.to_id,
        created_at=edge.created_at,
        properties=edge.properties,
        recorded_at=context.recorded_at,
    )
    unit.edges[key] = stored
    unit.created_edges.append(key)
    unit.add_edge(context, stored, source, target)
    unit.changes.append((EventType.EDGE_CREATED, edge.type, edge.id, session_id or target.session_id))
    return stored, 1
