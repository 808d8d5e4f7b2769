"""Replacing and deleting: nodes and edges become versions.

Nodes are deleted without their relationships, which must have been deleted before: where another process has added one
since they were read, the database refuses, and the transaction begins again.
"""

from __future__ import annotations

from abc import abstractmethod

from neo4j import AsyncManagedTransaction

from memory_graph.model.errors import GraphError
from memory_graph.model.kinds import EdgeType, NodeType
from memory_graph.model.nodes import Node, SessionData
from memory_graph.store.events import MAX_EVENTS
from memory_graph.store.neo4j.connection import ask, do
from memory_graph.store.neo4j.labels import NODE_TYPES, RELATIONSHIPS
from memory_graph.store.neo4j.rows import NODE, Neo4jRows
from memory_graph.store.neo4j.statements import ANY_EDGE, AT_KEY, DROP_VERSIONS, LOCKED, VERSION_OF_NODE
from memory_graph.store.rules.unit_of_work import CurrentVersion, NodeRef, SessionRef, UnitOfWork, WriteContext

_IN_SESSION = """
MATCH (v:Node) USING INDEX SEEK v:Node(tenant, session_id, created_ns, n)
WHERE v.tenant = $tenant AND v.session_id = $id AND v.created_ns IS NOT NULL AND v.n IS NOT NULL
"""
_NODES = {True: _IN_SESSION, False: AT_KEY}
"""The nodes of a session, or one node, as v."""
_VERSION_OF_EDGE = """
CREATE (w:EdgeVersion) SET w = properties(r), w.type = type(r), w.from_id = a.id, w.from_n = a.n, w.to_id = b.id,
  w.to_n = b.n, w.valid_to = $at, w.closed_at = $closed_at
DELETE r
"""
_SIDES = (
    "MATCH (v)-[r]->(o) WITH r, v AS a, o AS b",
    "MATCH (v)<-[r]-(o) WITH r, o AS a, v AS b",
)
"""The edges that leave v, and those that reach it."""
_BY_ID = f"WITH [$tenant, $id] AS key CALL (key) {{ {ANY_EDGE} }}"
_FIND_EDGE = f"{_BY_ID} RETURN type(r), coalesce(a.session_id, b.session_id)"
_DELETE_EDGE = f"{_BY_ID} {_VERSION_OF_EDGE}"
_FIND_NODE = f"{AT_KEY} RETURN v.n, v.type, v.session_id"
_READ = f"{LOCKED} RETURN v.valid_from, v.active, {NODE}"
_REPLACE = f"{AT_KEY} {VERSION_OF_NODE} SET v += $properties"
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
_COUNTERS = f"{AT_KEY} RETURN v.counts"
_SESSION_NODES = f"{_IN_SESSION} AND v.id <> $id RETURN v.id, v.type ORDER BY v.created_ns, v.n"


class ConcurrentModification(Exception):
    """Another process has changed what this transaction had read; it has to be done again from the start."""


class WriteRefused(Exception):
    """A write that had begun to change the database was refused."""

    def __init__(self, refusal: GraphError) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


class Neo4jHistory(UnitOfWork):
    """The part of the unit of work that reads and writes one version after the other."""

    def __init__(self, tx: AsyncManagedTransaction, rows: Neo4jRows) -> None:
        super().__init__()
        self.tx = tx
        self.rows = rows

    @staticmethod
    def end_of(ref: NodeRef) -> str:
        return ref.id

    async def savepoint(self) -> None:
        """The database has none."""

    async def release_savepoint(self) -> None:
        """Nothing is held."""

    async def roll_back(self, refusal: GraphError) -> None:
        raise WriteRefused(refusal)

    async def current_version(self, tenant: str, id: str) -> CurrentVersion | None:
        rows = await ask(self.tx, _READ, tenant=tenant, id=id)
        if not rows:
            return None
        valid_from, active, *columns = rows[0]
        node = self.rows.node(tenant, columns)
        return CurrentVersion(NodeRef(id, columns[1], node.type, node.session_id), node, valid_from, bool(active))

    async def replace_version(
        self, context: WriteContext, current: CurrentVersion, after: Node, *, switched: bool
    ) -> None:
        properties = self.rows.content(context.tenant, after)
        starts = after.updated_at
        properties |= {"updated_ns": starts, "valid_from": starts, "recorded_at": context.recorded_at}
        if switched and isinstance(after.data, SessionData):
            properties["active"] = after.data.is_active
        values = {"tenant": context.tenant, "id": current.ref.id, "at": starts, "closed_at": context.recorded_at}
        await do(self.tx, _REPLACE, **values, properties=properties)

    async def find_node(self, tenant: str, id: str) -> NodeRef | None:
        rows = await ask(self.tx, _FIND_NODE, tenant=tenant, id=id)
        if not rows:
            return None
        n, type, session_id = rows[0]
        await self.lock({(tenant, id), (tenant, session_id or id)})
        return NodeRef(id, n, NODE_TYPES[type], session_id)

    @abstractmethod
    async def lock(self, keys: set[tuple[str, str]]) -> None:
        """Keep others from changing nodes until the commit, and read the sessions among them."""

    async def find_edge(self, tenant: str, id: str) -> tuple[EdgeType, str | None] | None:
        rows = await ask(self.tx, _FIND_EDGE, tenant=tenant, id=id)
        return (RELATIONSHIPS[rows[0][0]], rows[0][1]) if rows else None

    async def chain_neighbours(self, tenant: str, ref: NodeRef) -> tuple[str | None, str | None]:
        ((before, after),) = await ask(self.tx, _NEIGHBOURS, tenant=tenant, id=ref.id)
        return before, after

    async def newest_prompt(self, session: SessionRef) -> str | None:
        values = {"tenant": session.tenant, "session": session.id, "type": int(NodeType.PROMPT)}
        newest = await ask(self.tx, _NEWEST_PROMPT, **values)
        return newest[0][0] if newest else None

    async def session_counters(self, tenant: str, ref: NodeRef) -> list[int]:
        ((counters,),) = await ask(self.tx, _COUNTERS, tenant=tenant, id=ref.id)
        of_session: list[int] = counters
        return of_session

    async def session_nodes(self, tenant: str, ref: NodeRef) -> list[tuple[str, NodeType]]:
        rows = await ask(self.tx, _SESSION_NODES, tenant=tenant, id=ref.id)
        return [(id, NODE_TYPES[type]) for id, type in rows]

    async def delete_edge(self, context: WriteContext, id: str, at: int) -> None:
        deleted = await do(self.tx, _DELETE_EDGE, tenant=context.tenant, id=id, at=at, closed_at=context.recorded_at)
        if deleted.relationships_deleted != 1:
            raise ConcurrentModification

    async def delete_edges(
        self, context: WriteContext, ref: NodeRef, at: int
    ) -> tuple[list[tuple[str, EdgeType]], int]:
        edges: list[tuple[str, EdgeType]] = []
        count, nodes = 0, _NODES[ref.type is NodeType.SESSION]
        values = {"tenant": context.tenant, "id": ref.id}
        for side in _SIDES:
            listing = f"{nodes} {side} RETURN r.id, type(r) ORDER BY r.n LIMIT $most"
            edges += [
                (id, RELATIONSHIPS[type]) for id, type in await ask(self.tx, listing, most=MAX_EVENTS + 1, **values)
            ]
            moving = f"{nodes} {side} {_VERSION_OF_EDGE}"
            deleted = await do(self.tx, moving, at=at, closed_at=context.recorded_at, **values)
            count += deleted.relationships_deleted
        return edges, count

    async def delete_nodes(self, context: WriteContext, ref: NodeRef, at: int, count: int) -> None:
        statement = f"{_NODES[ref.type is NodeType.SESSION]} {VERSION_OF_NODE} DELETE v"
        values = {"tenant": context.tenant, "id": ref.id, "at": at, "closed_at": context.recorded_at}
        deleted = await do(self.tx, statement, **values)
        if deleted.nodes_deleted != count:
            raise ConcurrentModification

    async def drop_history(self, tenant: str) -> None:
        for statement in DROP_VERSIONS:
            await do(self.tx, statement, tenant=tenant)
