# ruff: noqa: S608 - statements are composed of constants of this package; every value is bound
"""Creations as rows of the file. One SELECT per table reads; one INSERT per table writes."""

from __future__ import annotations

from array import array
from collections import Counter
from typing import Any

import apsw

from memory_graph.model.kinds import EdgeType
from memory_graph.model.nodes import Edge
from memory_graph.store.events import encode
from memory_graph.store.ids import to_bytes, to_text
from memory_graph.store.rules.references import References
from memory_graph.store.rules.unit_of_work import NodeRef, SessionRef, WriteContext
from memory_graph.store.sqlite.bulk import BulkInsert
from memory_graph.store.sqlite.counts import STORED_KINDS, WHOLE_TENANT
from memory_graph.store.sqlite.history import SqliteHistory, insert_attributes, insert_texts
from memory_graph.store.sqlite.rows import EDGE, NODE, NODE_TYPES, SqliteRows, attribute_rows, text_row

_NODES = """
SELECT c.value, v.n, v.type, v.session, s.id, s.active, s.last_prompt
FROM carray(?1) c CROSS JOIN nodes v ON v.tenant = ?2 AND v.id = c.value LEFT JOIN sessions s ON s.session = v.session
"""
_WHOLE_NODES = f"""
SELECT {NODE} FROM carray(?1) c CROSS JOIN nodes v ON v.n = c.value LEFT JOIN sessions s ON s.session = v.session
"""
_EDGES = "SELECT g.e FROM carray(?1) c CROSS JOIN edges g ON g.tenant = ?2 AND g.id = c.value"
_WHOLE_EDGES = f"""
SELECT {EDGE} FROM carray(?1) c CROSS JOIN edges g ON g.e = c.value
CROSS JOIN nodes a ON a.n = g.src CROSS JOIN nodes b ON b.n = g.dst
"""
"""What is there already is seldom needed whole, and a join costs where nothing is found too."""
_insert_nodes = BulkInsert(
    "INSERT INTO nodes (n, tenant, id, type, session, created_at, updated_at, valid_from, recorded_at, data)", 10
)
_insert_edges = BulkInsert(
    "INSERT INTO edges (e, tenant, id, type, src, dst, created_at, recorded_at, chain, properties)", 10
)
_insert_changes = BulkInsert("INSERT INTO changes (seq, tenant, session, recorded_at, events)", 5)
_add_counts = BulkInsert(
    "INSERT INTO counts (tenant, session, kind, count)", 4, "ON CONFLICT DO UPDATE SET count = count + excluded.count"
)
_put_sessions = BulkInsert(
    "INSERT INTO sessions (session, tenant, id, active, last_prompt)",
    5,
    "ON CONFLICT DO UPDATE SET active = excluded.active, last_prompt = excluded.last_prompt",
)


class SqliteUnitOfWork(SqliteHistory):
    """The unit of work of one batch."""

    def __init__(self, connection: apsw.Connection, rows: SqliteRows, tenants: dict[str, int]) -> None:
        super().__init__(connection, rows, tenants)
        sequences: dict[str, int] = dict(connection.execute("SELECT name, seq FROM sqlite_sequence"))
        self._last_n = sequences.get("nodes", 0)
        self._last_e = sequences.get("edges", 0)
        self._node_rows: list[tuple[Any, ...]] = []
        self._stub_rows: list[tuple[Any, ...]] = []
        self._edge_rows: list[tuple[Any, ...]] = []
        self._attribute_rows: list[tuple[Any, ...]] = []
        self._text_rows: list[tuple[Any, ...]] = []
        self.planned += [
            self._node_rows, self._stub_rows, self._edge_rows, self._attribute_rows, self._text_rows]  # fmt: skip

    def open_tenant(self, tenant: str) -> None:
        """Give the tenant a number with its first write."""
        if tenant not in self.tenants:
            number = self.connection.execute(
                "INSERT INTO tenants (name) VALUES (?) ON CONFLICT DO UPDATE SET name = name RETURNING tenant",
                (tenant,),
            ).get
            assert isinstance(number, int)
            self.tenants[tenant] = number

    def next_n(self) -> int:
        self._last_n += 1
        return self._last_n

    def add_node(self, context: WriteContext, ref: NodeRef, session: SessionRef | None, *, stub: bool) -> None:
        node, n, tenant = ref.node, ref.n, self.tenants[context.tenant]
        assert node is not None
        number = 0 if session is None else session.n
        data, created_at = node.data, node.created_at
        row = (
            n, tenant, self.raw[node.id], int(node.type), number, created_at, node.updated_at, created_at,
            context.recorded_at, self.rows.encode_data(context.tenant, node.id, data))  # fmt: skip
        (self._stub_rows if stub else self._node_rows).append(row)
        self._attribute_rows.extend(attribute_rows(tenant, n, created_at, data))
        text = text_row(tenant, n, number, data)
        if text is not None:
            self._text_rows.append(text)

    def add_edge(self, context: WriteContext, edge: Edge, source: NodeRef, target: NodeRef) -> None:
        self._last_e += 1
        self._edge_rows.append(
            (self._last_e, self.tenants[context.tenant], self.raw[edge.id], int(edge.type), source.n, target.n,
             edge.created_at, context.recorded_at, 0, self.rows.encode_properties(context.tenant, edge))
        )  # fmt: skip

    def add_link(self, context: WriteContext, edge_id: str, prompt: Any, previous: Any, at: int) -> None:  # noqa: ANN401
        self._last_e += 1
        self._edge_rows.append(
            (self._last_e, self.tenants[context.tenant], self._raw(edge_id), int(EdgeType.FOLLOWS), prompt, previous,
             at, context.recorded_at, 1, None)
        )  # fmt: skip

    def fetch(self, references: References) -> None:
        nodes: dict[str, list[bytes]] = {}
        for tenant, id in {**references.created, **references.containers, **references.ends}:
            self.raw[id] = raw = to_bytes(id)
            nodes.setdefault(tenant, []).append(raw)
        for tenant, keys in nodes.items():
            self._fetch_nodes(tenant, keys, references)
        edges: dict[str, list[bytes]] = {}
        for tenant, id in {**references.edges, **references.attached}:
            self.raw[id] = raw = to_bytes(id)
            edges.setdefault(tenant, []).append(raw)
        for tenant, keys in edges.items():
            numbers = array("q")
            for (e,) in self.connection.execute(_EDGES, (apsw.carray(tuple(keys)), self.tenants[tenant])):
                numbers.append(e)
            for row in self.connection.execute(_WHOLE_EDGES, (apsw.carray(numbers),)) if numbers else ():
                edge = self.rows.edge(tenant, row)
                self.edges[tenant, edge.id] = edge

    def _fetch_nodes(self, tenant: str, keys: list[bytes], references: References) -> None:
        sessions: dict[int, str] = {}
        repeated: dict[int, NodeRef] = {}
        for raw, n, type, session, session_raw, active, last_prompt in self.connection.execute(
            _NODES, (apsw.carray(tuple(keys)), self.tenants[tenant])
        ):
            session_id = sessions.get(session)
            if session_id is None and session:
                session_id = sessions[session] = to_text(session_raw)
                if (tenant, session_id) not in self.sessions:
                    ref = SessionRef(tenant, session_id, session, bool(active), last_prompt)
                    self.sessions[tenant, session_id] = ref
            key = (tenant, to_text(raw))
            self.nodes[key] = node = NodeRef(key[1], n, NODE_TYPES[type], session_id)
            if key in references.created:
                repeated[n] = node
        if repeated:
            for row in self.connection.execute(_WHOLE_NODES, (apsw.carray(array("q", repeated)),)):
                repeated[row[0]].node = self.rows.node(tenant, row)

    def flush(self) -> None:
        connection = self.connection
        self.count_planned()
        _insert_nodes(connection, self._node_rows)
        for row in self._stub_rows:
            self.materialize_stub(row)
        _insert_edges(connection, self._edge_rows)
        insert_attributes(connection, self._attribute_rows)
        insert_texts(connection, self._text_rows)
        _add_counts(
            connection,
            [
                (self.tenants[tenant], self._session_number(tenant, session_id), STORED_KINDS[kind], change)
                for (tenant, session_id, kind), change in self.counters.items()
                if change
            ],
        )
        touched = {session.n: session for session in (*self.opened, *(session for session, _ in self.chained))}
        _put_sessions(
            connection,
            [(s.n, self.tenants[s.tenant], self._raw(s.id), int(s.active), s.last_prompt) for s in touched.values()],
        )
        for key, uses in Counter(self.used).items():
            connection.execute("UPDATE nodes SET uses = uses + ? WHERE n = ?", (uses, self.nodes[key].n))
        self.discard()

    def _raw(self, id: str) -> bytes:
        return self.raw.get(id) or to_bytes(id)

    def _session_number(self, tenant: str, session_id: str | None) -> int:
        return WHOLE_TENANT if session_id is None else self.sessions[tenant, session_id].n

    def append_commits(self, newest: int) -> None:
        """Write the commits into the change feed; their numbers follow `newest`."""
        rows = [
            (seq, self.tenants[commit.tenant], commit.session and commit.session.n, commit.recorded_at,
             encode(commit.changes, self.raw))
            for seq, commit in enumerate(self.commits, newest + 1)
        ]  # fmt: skip
        _insert_changes(self.connection, rows)
