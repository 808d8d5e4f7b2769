"""Reads of the present by key: nodes, edges, counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neo4j import AsyncManagedTransaction

from memory_graph.model.kinds import Direction, EdgeType
from memory_graph.model.nodes import Edge, Node
from memory_graph.store.neo4j.connection import ask, ask_at_once
from memory_graph.store.neo4j.rows import EDGE, NODE, Neo4jRows
from memory_graph.store.neo4j.statements import ANY_EDGE, AT_KEY, SEEK
from memory_graph.store.rules.counters import COUNTERS

PING = "MATCH (v:SchemaVersion) RETURN v.version"
PROBE = "MERGE (p:Probe {name: 'probe'}) SET p.at = $at"
_NODES = f"UNWIND $ids AS id MATCH (v:Node {{tenant: $tenant, id: id}}) {SEEK} RETURN collect([{NODE}])"
_EDGE = f"WITH [$tenant, $id] AS key CALL (key) {{ {ANY_EDGE} }} RETURN {EDGE}"
_OF_TYPE = "WHERE $type IS NULL OR type(r) = $type"
_OUT = f"{AT_KEY} MATCH (v)-[r]->(o) {_OF_TYPE} WITH r, v AS a, o AS b RETURN r.n, {EDGE}"
_IN = f"{AT_KEY} MATCH (v)<-[r]-(o) {_OF_TYPE} WITH r, o AS a, v AS b RETURN r.n, {EDGE}"
_COUNTS = "MATCH (t:Tenant {name: $tenant}) RETURN t.counts"
_TOTALS = "MATCH (t:Tenant) UNWIND range(0, size(t.counts) - 1) AS count RETURN count, sum(t.counts[count])"


async def nodes(tx: AsyncManagedTransaction, rows: Neo4jRows, tenant: str, ids: Sequence[str]) -> list[Node]:
    visible = {}
    for row in await ask_at_once(tx, _NODES, tenant=tenant, ids=list(dict.fromkeys(ids))):
        visible[row[0]] = rows.node(tenant, row)
    return [visible[id] for id in ids if id in visible]


async def edge(tx: AsyncManagedTransaction, rows: Neo4jRows, tenant: str, id: str) -> Edge | None:
    records = await ask(tx, _EDGE, tenant=tenant, id=id)
    return rows.edge(tenant, records[0]) if records else None


async def edges(
    tx: AsyncManagedTransaction, rows: Neo4jRows, tenant: str, node_id: str, direction: Direction, type: EdgeType | None
) -> list[Edge] | None:
    """Edges of a node, oldest first; None for an unknown node."""
    if not await ask(tx, f"{AT_KEY} RETURN v.n", tenant=tenant, id=node_id):
        return None
    numbered: dict[str, tuple[int, Edge]] = {}
    for side, statement in ((Direction.OUTGOING, _OUT), (Direction.INCOMING, _IN)):
        if direction not in (side, Direction.BOTH):
            continue
        of_type = None if type is None else type.name
        for n, *row in await ask(tx, statement, tenant=tenant, id=node_id, type=of_type):
            edge = rows.edge(tenant, row)
            numbered[edge.id] = (n, edge)
    return [edge for _, edge in sorted(numbered.values(), key=lambda item: (item[1].created_at, item[0]))]


async def counts(tx: AsyncManagedTransaction, tenant: str) -> list[int]:
    """The counts of a tenant (rules.counters)."""
    rows: list[list[Any]] = await ask(tx, _COUNTS, tenant=tenant)
    of_tenant: list[int] = rows[0][0] if rows and rows[0][0] else [0] * COUNTERS
    return of_tenant


async def totals(tx: AsyncManagedTransaction) -> list[int]:
    """The sums of the counts of all tenants."""
    sums = [0] * COUNTERS
    for count, total in await ask(tx, _TOTALS):
        sums[count] = total
    return sums
