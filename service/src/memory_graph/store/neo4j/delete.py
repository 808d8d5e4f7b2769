"""Ending nodes and edges: they become versions, and the chain of prompts closes over the gap.

Nodes are deleted without their relationships, which must have been ended before: where another process has added one
since they were read, the database refuses, and the transaction begins again.
"""

from __future__ import annotations

from typing import Any

from memory_graph.model.errors import NotFound
from memory_graph.model.kinds import EventType, NodeType
from memory_graph.store.events import MAX_EVENTS
from memory_graph.store.ids import to_bytes
from memory_graph.store.neo4j.connection import ask, do
from memory_graph.store.neo4j.create import WriteContext, link
from memory_graph.store.neo4j.labels import ACTIVE_SESSIONS, EDGES, NODE_TYPES, RELATIONSHIPS
from memory_graph.store.neo4j.statements import ANY_EDGE, AT_KEY, VERSION_OF_NODE
from memory_graph.store.neo4j.unit_of_work import ConcurrentModification, Neo4jUnitOfWork

_IN_SESSION = """
MATCH (v:Node) USING INDEX SEEK v:Node(tenant, session_id, created_ns, n)
WHERE v.tenant = $tenant AND v.session_id = $id AND v.created_ns IS NOT NULL AND v.n IS NOT NULL
"""

_VERSION_OF_EDGE = """
CREATE (w:EdgeVersion) SET w = properties(r), w.type = type(r), w.from_id = a.id, w.from_n = a.n, w.to_id = b.id,
  w.to_n = b.n, w.valid_to = $at, w.closed_at = $closed_at
DELETE r
"""
_ENDS = {
    "leaving": "MATCH (v)-[r]->(o) WITH r, v AS a, o AS b",
    "reaching": "MATCH (v)<-[r]-(o) WITH r, o AS a, v AS b",
}
_FIND_EDGE = f"""
WITH [$tenant, $id] AS key CALL (key) {{ {ANY_EDGE} }} RETURN type(r), coalesce(a.session_id, b.session_id)
"""
_END_EDGE = f"WITH [$tenant, $id] AS key CALL (key) {{ {ANY_EDGE} }} {_VERSION_OF_EDGE}"
_FIND_NODE = f"{AT_KEY} RETURN v.type, v.session_id"
_END_NODES = f"{VERSION_OF_NODE} DELETE v"
_NEIGHBOURS = f"""
{AT_KEY}
OPTIONAL MATCH (v)-[:FOLLOWS {{chain: true}}]->(before) OPTIONAL MATCH (v)<-[:FOLLOWS {{chain: true}}]-(after)
RETURN before.id, after.id
"""
_NEWEST_PROMPT = """
MATCH (v:Node) USING INDEX SEEK v:Node(tenant, session_id, type, created_ns, n)
WHERE v.tenant = $tenant AND v.session_id = $session AND v.type = $type
  AND v.created_ns IS NOT NULL AND v.n IS NOT NULL
RETURN v.id ORDER BY v.tenant DESC, v.session_id DESC, v.type DESC, v.created_ns DESC, v.n DESC LIMIT 1
"""
_SESSION = f"{AT_KEY} RETURN v.counts, v.active"
_NODES_OF_SESSION = f"{_IN_SESSION} AND v.id <> $id RETURN v.id, v.type ORDER BY v.created_ns, v.n"


async def delete_edge(unit: Neo4jUnitOfWork, context: WriteContext, id: str, at: int) -> None:
    """Ends an edge."""
    found = await ask(unit.tx, _FIND_EDGE, tenant=context.tenant, id=id)
    if not found:
        raise NotFound("edge", id)
    type, session_id = found[0]
    ended = await do(unit.tx, _END_EDGE, tenant=context.tenant, id=id, at=at, closed_at=context.recorded_at)
    if ended.relationships_deleted != 1:
        raise ConcurrentModification
    unit.count(context.tenant, EDGES, -1)
    unit.changes.append((EventType.EDGE_DELETED, RELATIONSHIPS[type], id, to_bytes(id), session_id))


async def delete_node(unit: Neo4jUnitOfWork, context: WriteContext, id: str, at: int, relink_edge_id: str) -> None:
    """Ends a node with its edges; a session with all of its nodes and theirs."""
    found = await ask(unit.tx, _FIND_NODE, tenant=context.tenant, id=id)
    if not found:
        raise NotFound("node", id)
    type, session_id = NODE_TYPES[found[0][0]], found[0][1]
    await unit.lock({(context.tenant, id), (context.tenant, session_id or id)})
    unit.changes.append((EventType.NODE_DELETED, type, id, to_bytes(id), session_id))
    if type is NodeType.SESSION:
        await _delete_session(unit, context, id, at)
        return
    in_chain = type is NodeType.PROMPT and session_id is not None
    neighbours = await ask(unit.tx, _NEIGHBOURS, tenant=context.tenant, id=id) if in_chain else []
    await _delete_edges(unit, context, AT_KEY, id, at, session_id)
    await _delete_nodes(unit, context, AT_KEY, id, at, 1)
    unit.count(context.tenant, type, -1)
    if session_id is not None:
        unit.count_in_session(context.tenant, session_id, type, -1)
    if in_chain:
        before, after = neighbours[0]
        await _relink_chain(unit, context, session_id, (before, id, after), at, relink_edge_id)


async def _delete_session(unit: Neo4jUnitOfWork, context: WriteContext, id: str, at: int) -> None:
    ((counts, active),) = await ask(unit.tx, _SESSION, tenant=context.tenant, id=id)
    nodes = sum(counts[1:ACTIVE_SESSIONS])
    if nodes <= MAX_EVENTS:
        for node_id, type in await ask(unit.tx, _NODES_OF_SESSION, tenant=context.tenant, id=id):
            unit.changes.append((EventType.NODE_DELETED, NODE_TYPES[type], node_id, to_bytes(node_id), id))
    await _delete_edges(unit, context, _IN_SESSION, id, at, id)
    await _delete_nodes(unit, context, _IN_SESSION, id, at, nodes)
    for kind in range(1, ACTIVE_SESSIONS):
        unit.count(context.tenant, kind, -counts[kind])
    if active:
        unit.count(context.tenant, ACTIVE_SESSIONS, -1)
    del unit.sessions[context.tenant, id]


async def _delete_edges(
    unit: Neo4jUnitOfWork, context: WriteContext, nodes: str, id: str, at: int, session_id: str | None
) -> None:
    """Ends the edges that leave nodes, then those that reach them; tells of them unless they are too many."""
    told: list[list[Any]] = []
    values = {"tenant": context.tenant, "id": id}
    for ends in _ENDS.values():
        told += await ask(
            unit.tx, f"{nodes} {ends} RETURN r.id, type(r) ORDER BY r.n LIMIT $most", most=MAX_EVENTS + 1, **values
        )
        ended = await do(unit.tx, f"{nodes} {ends} {_VERSION_OF_EDGE}", at=at, closed_at=context.recorded_at, **values)
        unit.count(context.tenant, EDGES, -ended.relationships_deleted)
    if len(told) + len(unit.changes) <= MAX_EVENTS:
        for edge_id, type in told:
            unit.changes.append((EventType.EDGE_DELETED, RELATIONSHIPS[type], edge_id, to_bytes(edge_id), session_id))


async def _delete_nodes(
    unit: Neo4jUnitOfWork, context: WriteContext, nodes: str, id: str, at: int, expected: int
) -> None:
    ended = await do(
        unit.tx, f"{nodes} {_END_NODES}", tenant=context.tenant, id=id, at=at, closed_at=context.recorded_at
    )
    if ended.nodes_deleted != expected:
        raise ConcurrentModification


async def _relink_chain(
    unit: Neo4jUnitOfWork,
    context: WriteContext,
    session_id: str,
    links: tuple[str | None, str, str | None],
    at: int,
    edge_id: str,
) -> None:
    before, id, after = links
    session = unit.sessions[context.tenant, session_id]
    if after is None:
        if session.last_prompt == id:
            session.last_prompt = before or await _newest_prompt(unit, context, session_id)
    elif before is not None:
        await unit.fetch((), (), [(context.tenant, edge_id)])
        link(unit, context, (after, before), edge_id, at, session_id)


async def _newest_prompt(unit: Neo4jUnitOfWork, context: WriteContext, session_id: str) -> str | None:
    """Where the chain goes on when its last link was ended by hand."""
    newest = await ask(unit.tx, _NEWEST_PROMPT, tenant=context.tenant, session=session_id, type=int(NodeType.PROMPT))
    return newest[0][0] if newest else None
