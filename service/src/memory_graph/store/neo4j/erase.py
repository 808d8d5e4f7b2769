"""Ending nodes and edges: they become versions, and the chain of prompts closes over the gap.

Nodes are deleted without their relationships, which must have been ended before: where another process has added one
since they were read, the database refuses, and the transaction begins again.
"""

from __future__ import annotations

from typing import Any

from memory_graph.model.errors import NotFound
from memory_graph.model.kinds import EventType, NodeType
from memory_graph.store.events import MOST_EVENTS
from memory_graph.store.ids import to_bytes
from memory_graph.store.neo4j.connection import ask, do
from memory_graph.store.neo4j.create import Scope, link
from memory_graph.store.neo4j.names import ACTIVE_SESSIONS, EDGES, NODE_TYPES, RELATIONSHIPS
from memory_graph.store.neo4j.statements import ANY_EDGE, AT_KEY, VERSION_OF_NODE
from memory_graph.store.neo4j.unit import Moved, Unit

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


async def delete_edge(unit: Unit, scope: Scope, id: str, at: int) -> None:
    """Ends an edge."""
    found = await ask(unit.tx, _FIND_EDGE, tenant=scope.tenant, id=id)
    if not found:
        raise NotFound("edge", id)
    type, session_id = found[0]
    ended = await do(unit.tx, _END_EDGE, tenant=scope.tenant, id=id, at=at, closed_at=scope.recorded_at)
    if ended.relationships_deleted != 1:
        raise Moved
    unit.count(scope.tenant, EDGES, -1)
    unit.changes.append((EventType.EDGE_DELETED, RELATIONSHIPS[type], id, to_bytes(id), session_id))


async def delete_node(unit: Unit, scope: Scope, id: str, at: int, relink_edge_id: str) -> None:
    """Ends a node with its edges; a session with all of its nodes and theirs."""
    found = await ask(unit.tx, _FIND_NODE, tenant=scope.tenant, id=id)
    if not found:
        raise NotFound("node", id)
    type, session_id = NODE_TYPES[found[0][0]], found[0][1]
    await unit.lock({(scope.tenant, id), (scope.tenant, session_id or id)})
    unit.changes.append((EventType.NODE_DELETED, type, id, to_bytes(id), session_id))
    if type is NodeType.SESSION:
        await _end_session(unit, scope, id, at)
        return
    in_chain = type is NodeType.PROMPT and session_id is not None
    neighbours = await ask(unit.tx, _NEIGHBOURS, tenant=scope.tenant, id=id) if in_chain else []
    await _end_edges(unit, scope, AT_KEY, id, at, session_id)
    await _end_nodes(unit, scope, AT_KEY, id, at, 1)
    unit.count(scope.tenant, type, -1)
    if session_id is not None:
        unit.count_in_session(scope.tenant, session_id, type, -1)
    if in_chain:
        before, after = neighbours[0]
        await _close_gap(unit, scope, session_id, (before, id, after), at, relink_edge_id)


async def _end_session(unit: Unit, scope: Scope, id: str, at: int) -> None:
    ((counts, active),) = await ask(unit.tx, _SESSION, tenant=scope.tenant, id=id)
    nodes = sum(counts[1:ACTIVE_SESSIONS])
    if nodes <= MOST_EVENTS:
        for node_id, type in await ask(unit.tx, _NODES_OF_SESSION, tenant=scope.tenant, id=id):
            unit.changes.append((EventType.NODE_DELETED, NODE_TYPES[type], node_id, to_bytes(node_id), id))
    await _end_edges(unit, scope, _IN_SESSION, id, at, id)
    await _end_nodes(unit, scope, _IN_SESSION, id, at, nodes)
    for kind in range(1, ACTIVE_SESSIONS):
        unit.count(scope.tenant, kind, -counts[kind])
    if active:
        unit.count(scope.tenant, ACTIVE_SESSIONS, -1)
    del unit.sessions[scope.tenant, id]


async def _end_edges(unit: Unit, scope: Scope, nodes: str, id: str, at: int, session_id: str | None) -> None:
    """Ends the edges that leave nodes, then those that reach them; tells of them unless they are too many."""
    told: list[list[Any]] = []
    values = {"tenant": scope.tenant, "id": id}
    for ends in _ENDS.values():
        told += await ask(
            unit.tx, f"{nodes} {ends} RETURN r.id, type(r) ORDER BY r.n LIMIT $most", most=MOST_EVENTS + 1, **values
        )
        ended = await do(unit.tx, f"{nodes} {ends} {_VERSION_OF_EDGE}", at=at, closed_at=scope.recorded_at, **values)
        unit.count(scope.tenant, EDGES, -ended.relationships_deleted)
    if len(told) + len(unit.changes) <= MOST_EVENTS:
        for edge_id, type in told:
            unit.changes.append((EventType.EDGE_DELETED, RELATIONSHIPS[type], edge_id, to_bytes(edge_id), session_id))


async def _end_nodes(unit: Unit, scope: Scope, nodes: str, id: str, at: int, expected: int) -> None:
    ended = await do(unit.tx, f"{nodes} {_END_NODES}", tenant=scope.tenant, id=id, at=at, closed_at=scope.recorded_at)
    if ended.nodes_deleted != expected:
        raise Moved


async def _close_gap(
    unit: Unit, scope: Scope, session_id: str, links: tuple[str | None, str, str | None], at: int, edge_id: str
) -> None:
    before, id, after = links
    session = unit.sessions[scope.tenant, session_id]
    if after is None:
        if session.last_prompt == id:
            session.last_prompt = before or await _newest_prompt(unit, scope, session_id)
    elif before is not None:
        await unit.fetch((), (), [(scope.tenant, edge_id)])
        link(unit, scope, (after, before), edge_id, at, session_id)


async def _newest_prompt(unit: Unit, scope: Scope, session_id: str) -> str | None:
    """Where the chain goes on when its last link was ended by hand."""
    newest = await ask(unit.tx, _NEWEST_PROMPT, tenant=scope.tenant, session=session_id, type=int(NodeType.PROMPT))
    return newest[0][0] if newest else None
