"""Neo4j as the place rows are moved to. Until the move is finished the database has no schema version, so that no
service mistakes it for a complete store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any

import msgspec
from neo4j import AsyncManagedTransaction

from memory_graph.model.errors import StoreUnavailable
from memory_graph.model.kinds import NodeType
from memory_graph.store.codec import PlainCodec
from memory_graph.store.migration.parts import (
    Checksum,
    CommitRow,
    EdgeRow,
    GlobalState,
    GraphPart,
    NodeRow,
    Row,
    SessionState,
)
from memory_graph.store.neo4j import changes, commits, schema
from memory_graph.store.neo4j.connection import Neo4jConnection, ask, do
from memory_graph.store.neo4j.labels import LABELS
from memory_graph.store.neo4j.rows import EDGE, EDGE_THEN, NODE, Neo4jRows
from memory_graph.store.neo4j.statements import CREATE_COMMITS, CREATE_EDGES, INSTANT

_CREATED = f"SET v = row, v.created_at = {INSTANT.format(row='row')}"
_CREATE_NODES = {type: f"UNWIND $rows AS row CREATE (v:Node:{LABELS[type]}) {_CREATED}" for type in NodeType}
_CREATE_NODE_VERSION = f"UNWIND $rows AS row CREATE (v:NodeVersion) {_CREATED}"
_CREATE_EDGE_VERSION = f"UNWIND $rows AS row CREATE (v:EdgeVersion) {_CREATED}"
_STATE = """
OPTIONAL MATCH (m:Move {name: $name})
RETURN m.source, m.part, m.after, EXISTS { MATCH (n) WHERE n:Node OR n:NodeVersion OR n:Commit }
"""
_BEGIN = """
MERGE (m:Move {name: $name}) SET m.source = $source, m.part = $part, m.after = $after
WITH m OPTIONAL MATCH (v:SchemaVersion) DELETE v
"""
_STEP = """
MATCH (m:Move {name: $name}) SET m.name = m.name
WITH collect(m) AS locked UNWIND locked AS m WITH m WHERE m.source = $source AND m.part = $part AND m.after = $before
SET m.part = $next, m.after = $after
RETURN m.after
"""
_TENANTS = (
    "UNWIND $rows AS row MERGE (t:Tenant {name: row.name}) SET t.counts = row.counts, t.feed_floor = row.feed_floor"
)
_CURSORS = "UNWIND $rows AS row MERGE (f:Feed {name: row[0]}) SET f.seq = row[1]"
_FEED = """
MERGE (f:Feed {name: $name}) SET f.seq = $seq, f.dropped = $dropped, f.n = $n, f.recorded_at = $recorded_at
"""
_END = "MATCH (m:Move {name: $name}) DELETE m"

_NODE_COLUMNS = f"v.tenant, v.valid_from, v.valid_to, v.closed_at, v.active, v.last_prompt, v.counts, {NODE}"
_READ = {
    GraphPart.NODES: f"MATCH (v:Node) RETURN {_NODE_COLUMNS}",
    GraphPart.NODE_VERSIONS: f"MATCH (v:NodeVersion) RETURN {_NODE_COLUMNS}",
    GraphPart.EDGES: "MATCH (a:Node)-[r]->(b:Node) "
    f"RETURN r.tenant, r.n, a.n, b.n, r.chain, null AS valid_to, null AS closed_at, {EDGE}",
    GraphPart.EDGE_VERSIONS: "MATCH (r:EdgeVersion) "
    f"RETURN r.tenant, r.n, r.from_n, r.to_n, r.chain, r.valid_to, r.closed_at, {EDGE_THEN}",
    GraphPart.COMMITS: "MATCH (c:Commit) RETURN c.tenant, c.seq, c.session_id, c.recorded_at, c.events",
}


class MigrationState(msgspec.Struct, frozen=True):
    """The progress of a migration: the part it is in and the key of its last row there. source: fingerprint of the
    graph that is moved."""

    source: str
    part: GraphPart
    after: int


class MigrationTarget:
    """One database. All of it raises `StoreUnavailable`."""

    def __init__(self, database: Neo4jConnection) -> None:
        self._database = database
        self._rows = Neo4jRows(PlainCodec())

    async def state(self) -> MigrationState | None:
        """The move that was begun here, None for none. Raises `StoreUnavailable` for a database with a graph in it."""
        ((source, part, after, used),) = await self._database.read_newest(partial(_ask, _STATE))
        if source is not None:
            return MigrationState(source, GraphPart(part), after)
        if used:
            raise StoreUnavailable("the database holds a graph already; name an empty one in NEO4J_DATABASE")
        return None

    async def begin(self, source: str) -> MigrationState:
        """Makes constraints and indexes, and notes the move."""
        await self._database.in_session(schema.migrate)
        state = MigrationState(source, GraphPart.NODES, -1)
        await self._database.write(partial(_do, _BEGIN, **msgspec.structs.asdict(state)))
        return state

    async def write(self, state: MigrationState, rows: Sequence[Row], reached: MigrationState) -> None:
        """Adds rows and notes that in one transaction."""
        await self._database.write(partial(self._write, state, rows, reached))

    async def finish(self, global_state: GlobalState) -> None:
        """Adds what belongs to no row; from then on the database is a store."""
        await self._database.write(partial(_finish, global_state))

    async def close(self) -> None:
        await self._database.close()

    async def checksum(self, part: GraphPart, advance: Callable[[int], None]) -> Checksum:
        """The sum over what the database holds of a part. advance: told of rows read."""
        return await self._database.read_newest(partial(self._sum, part, advance))

    async def _sum(self, part: GraphPart, advance: Callable[[int], None], tx: AsyncManagedTransaction) -> Checksum:
        checksum = Checksum()
        async for row in self._read(tx, part):
            checksum.add(row)
            if checksum.rows % 1000 == 0:
                advance(1000)
        advance(checksum.rows % 1000)
        return checksum

    async def _read(self, tx: AsyncManagedTransaction, part: GraphPart) -> AsyncIterator[Row]:
        result = await tx.run(_READ[part])
        async for record in result:
            if part in (GraphPart.NODES, GraphPart.NODE_VERSIONS):
                yield self._node(record.values())
            elif part is GraphPart.COMMITS:
                yield CommitRow(*record.values())
            else:
                yield self._edge(record.values())

    def _node(self, row: Sequence[Any]) -> NodeRow:
        tenant, valid_from, valid_to, closed_at, active, last_prompt, counts, *columns = row
        ended = None if valid_to is None else (valid_to, closed_at)
        session = None if counts is None else SessionState(active, last_prompt, counts)
        n, uses = columns[1], columns[7] or 0
        return NodeRow(tenant, n, self._rows.node(tenant, columns), valid_from, uses, ended, session)

    def _edge(self, row: Sequence[Any]) -> EdgeRow:
        tenant, n, from_n, to_n, chain, valid_to, closed_at, *columns = row
        ended = None if valid_to is None else (valid_to, closed_at)
        return EdgeRow(tenant, n, self._rows.edge(tenant, columns), from_n, to_n, bool(chain), ended)

    async def _write(
        self, state: MigrationState, rows: Sequence[Row], reached: MigrationState, tx: AsyncManagedTransaction
    ) -> None:
        values = {"source": state.source, "part": state.part, "before": state.after}
        if not await ask(tx, _STEP, name=schema.NAME, next=reached.part, after=reached.after, **values):
            raise StoreUnavailable("another `memory-graph migrate` moves into this database; let one of them end first")
        groups: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in rows:
            statement, values = self._creation(row)
            groups[statement].append(values)
        for statement, group in groups.items():
            await do(tx, statement, rows=group)

    def _creation(self, row: Row) -> tuple[str, dict[str, Any]]:
        """The statement that makes a row, and its values."""
        match row:
            case NodeRow():
                statement = _CREATE_NODES[row.node.type] if row.ended is None else _CREATE_NODE_VERSION
                return statement, self._properties(row)
            case EdgeRow(edge=edge, ended=ended):
                if ended is None:
                    return CREATE_EDGES[edge.type], {"p": self._link(row), "a": edge.from_id, "b": edge.to_id}
                ends = {"from_id": edge.from_id, "from_n": row.from_n, "to_id": edge.to_id, "to_n": row.to_n}
                times = {"valid_to": ended[0], "closed_at": ended[1]}
                return _CREATE_EDGE_VERSION, {**self._link(row), "type": edge.type.name, **ends, **times}
            case CommitRow():
                return CREATE_COMMITS, msgspec.structs.asdict(row)

    def _properties(self, row: NodeRow) -> dict[str, Any]:
        properties = self._rows.new_node(row.tenant, row.node, row.n) | {"valid_from": row.valid_from}
        if row.uses:
            properties["uses"] = row.uses
        if row.session is not None:
            session = msgspec.structs.asdict(row.session)
            properties |= {key: value for key, value in session.items() if value is not None}
        if row.ended is not None:
            for name in ("tags", "words", "active", "counts"):
                properties.pop(name, None)
            properties["valid_to"], properties["closed_at"] = row.ended
        return properties

    def _link(self, row: EdgeRow) -> dict[str, Any]:
        return self._rows.new_edge(row.tenant, row.edge, row.n) | ({"chain": True} if row.chain else {})


async def _ask(statement: str, tx: AsyncManagedTransaction) -> list[list[Any]]:
    return await ask(tx, statement, name=schema.NAME)


async def _do(statement: str, tx: AsyncManagedTransaction, **values: Any) -> None:  # noqa: ANN401
    await do(tx, statement, name=schema.NAME, **values)


async def _finish(global_state: GlobalState, tx: AsyncManagedTransaction) -> None:
    await do(tx, _TENANTS, rows=[msgspec.structs.asdict(tenant) for tenant in global_state.tenants])
    feed = {
        "seq": global_state.seq,
        "dropped": global_state.dropped,
        "n": global_state.n,
        "recorded_at": global_state.recorded_at,
    }
    await do(tx, _FEED, name=changes.NAME, **feed)
    await do(
        tx, _CURSORS, rows=[[commits.name_of(reader), seq] for reader, seq in sorted(global_state.cursors.items())]
    )
    await do(tx, _END, name=schema.NAME)
    await do(tx, schema.RAISE, name=schema.NAME, version=len(schema.MIGRATIONS))
