# ruff: noqa: S608 - statements are composed of constants of this package; every value is bound
"""The unit of work: what the writes of one batch have read and will write.

Writes that only create are planned in memory against rows fetched together, and their rows go in together. A write
that is refused is taken back by cutting the lists of planned rows; the file has not seen it. Little is kept per row:
what the garbage collector has to look at once cost more than all the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import apsw
import msgspec

from memory_graph.model.kinds import NodeType
from memory_graph.model.nodes import Edge, Node
from memory_graph.store.events import Change
from memory_graph.store.ids import to_bytes, to_text
from memory_graph.store.sqlite.bulk import BulkInsert
from memory_graph.store.sqlite.counts import ACTIVE_SESSIONS, EDGES, WHOLE_TENANT
from memory_graph.store.sqlite.history import materialize_stub
from memory_graph.store.sqlite.rows import EDGE, NODE, NODE_TYPES, SqliteRows

_NODES = """
SELECT c.value, v.n, v.type, v.session, s.id, s.active, s.last_prompt
FROM carray(?1) c CROSS JOIN nodes v ON v.tenant = ?2 AND v.id = c.value LEFT JOIN sessions s ON s.session = v.session
"""
_EDGES = "SELECT c.value, g.e FROM carray(?1) c CROSS JOIN edges g ON g.tenant = ?2 AND g.id = c.value"
_NODE = f"SELECT {NODE} FROM nodes v LEFT JOIN sessions s ON s.session = v.session WHERE v.n = ?"
_EDGE = f"SELECT {EDGE} FROM edges g CROSS JOIN nodes a ON a.n = g.src CROSS JOIN nodes b ON b.n = g.dst WHERE g.e = ?"

_insert_nodes = BulkInsert(
    "INSERT INTO nodes (n, tenant, id, type, session, created_at, updated_at, valid_from, recorded_at, data)", 10
)
_insert_edges = BulkInsert(
    "INSERT INTO edges (e, tenant, id, type, src, dst, created_at, recorded_at, chain, properties)", 10
)
insert_attributes = BulkInsert("INSERT INTO attributes (tenant, name, value, created_at, n)", 5)
insert_texts = BulkInsert("INSERT INTO texts (rowid, scope, text)", 3)
_insert_changes = BulkInsert("INSERT INTO changes (seq, tenant, session, recorded_at, events)", 5)
_add_counts = BulkInsert(
    "INSERT INTO counts (tenant, session, kind, count)", 4, "ON CONFLICT DO UPDATE SET count = count + excluded.count"
)
_put_sessions = BulkInsert(
    "INSERT INTO sessions (session, tenant, id, active, last_prompt)",
    5,
    "ON CONFLICT DO UPDATE SET active = excluded.active, last_prompt = excluded.last_prompt",
)


class NodeRef(msgspec.Struct, gc=False):
    """A node as the batch knows it. node: the whole of it, where the batch made it."""

    n: int
    type: NodeType
    session: int
    session_id: str | None
    node: Node | None = None


class EdgeRef(msgspec.Struct, gc=False):
    """An edge as the batch knows it. edge: the whole of it, where the batch made it."""

    e: int
    edge: Edge | None = None


class SessionRef(msgspec.Struct, gc=False):
    """A session's row: what adding a node to it reads and changes."""

    session: int
    tenant: int
    id: str
    raw: bytes
    active: int
    last_prompt: int | None


class SqliteUnitOfWork:
    """The state of one batch. next_n and next_e are the numbers to be given to the next node and edge."""

    def __init__(self, connection: apsw.Connection, rows: SqliteRows, tenants: dict[str, int]) -> None:
        self.connection = connection
        self.rows = rows
        self.tenants = dict(tenants)
        sequences = dict(connection.execute("SELECT name, seq FROM sqlite_sequence"))
        self.next_n: int = sequences.get("nodes", 0) + 1
        self.next_e: int = sequences.get("edges", 0) + 1
        self.raw: dict[str, bytes] = {}
        self.sessions: dict[int, SessionRef] = {}
        self._nodes: dict[tuple[int, str], NodeRef] = {}
        self._edges: dict[tuple[int, str], EdgeRef] = {}
        self.changes: list[Change] = []
        self._node_ids: list[str] = []
        self._edge_ids: list[str] = []
        self._opened: list[SessionRef] = []
        self._followed: list[tuple[SessionRef, int | None]] = []
        self._used: list[int] = []
        self._filled: list[tuple[str, NodeRef, tuple[Any, ...]]] = []
        self.node_rows: list[tuple[Any, ...]] = []
        self.edge_rows: list[tuple[Any, ...]] = []
        self.attribute_rows: list[tuple[Any, ...]] = []
        self.text_rows: list[tuple[Any, ...]] = []
        self.change_rows: list[tuple[Any, ...]] = []
        self._counts: dict[tuple[int, int, int], int] = {}
        self._planned: tuple[list[Any], ...] = (
            self.node_rows, self._node_ids, self.edge_rows, self._edge_ids, self.attribute_rows, self.text_rows,
            self._opened, self._followed, self._used, self._filled, self.change_rows)  # fmt: skip

    def tenant(self, name: str) -> int:
        """The number of a tenant, which is made with its first write."""
        number = self.tenants.get(name)
        if number is None:
            number = self.connection.execute(
                "INSERT INTO tenants (name) VALUES (?) ON CONFLICT DO UPDATE SET name = name RETURNING tenant", (name,)
            ).get
            assert isinstance(number, int)
            self.tenants[name] = number
        return number

    def fetch(self, tenant: int, nodes: Iterable[str], edges: Iterable[str]) -> None:
        """Reads the rows of nodes and edges that creations name, with the sessions of the nodes."""
        node_keys = self._keys(nodes)
        if node_keys:
            for raw, n, type, session, session_id, active, last_prompt in self.connection.execute(
                _NODES, (apsw.carray(node_keys), tenant)
            ):
                known = self.sessions.get(session)
                if session and known is None:
                    known = SessionRef(session, tenant, to_text(session_id), session_id, active, last_prompt)
                    self.sessions[session] = known
                self._nodes[tenant, to_text(raw)] = NodeRef(n, NODE_TYPES[type], session, known.id if known else None)
        edge_keys = self._keys(edges)
        if edge_keys:
            for raw, e in self.connection.execute(_EDGES, (apsw.carray(edge_keys), tenant)):
                self._edges[tenant, to_text(raw)] = EdgeRef(e)

    def _keys(self, ids: Iterable[str]) -> tuple[bytes, ...]:
        keys = []
        for id in ids:
            self.raw[id] = raw = to_bytes(id)
            keys.append(raw)
        return tuple(keys)

    def node(self, tenant: int, id: str) -> NodeRef | None:
        """A node that was fetched or made in this batch."""
        return self._nodes.get((tenant, id))

    def edge(self, tenant: int, id: str) -> EdgeRef | None:
        """An edge that was fetched or made in this batch."""
        return self._edges.get((tenant, id))

    def load(self, tenant: str, ref: NodeRef) -> Node:
        """The whole node behind a reference."""
        if ref.node is None:
            row = self.connection.execute(_NODE, (ref.n,)).fetchone()
            assert row is not None
            ref.node = self.rows.node(tenant, row)
        return ref.node

    def load_edge(self, tenant: str, ref: EdgeRef) -> Edge | None:
        """The whole edge behind a reference; None for a link of a chain that this batch made."""
        if ref.edge is None:
            row = self.connection.execute(_EDGE, (ref.e,)).fetchone()
            ref.edge = None if row is None else self.rows.edge(tenant, row)
        return ref.edge

    def add_node(self, id: str, ref: NodeRef, row: tuple[Any, ...]) -> None:
        self._nodes[row[1], id] = ref
        self._node_ids.append(id)
        self.node_rows.append(row)

    def new_n(self) -> int:
        """The number of a new node."""
        self.next_n += 1
        return self.next_n - 1

    def materialize_stub(self, id: str, ref: NodeRef, row: tuple[Any, ...]) -> None:
        """Puts a node in the place of the stub that has its number."""
        self._filled.append((id, self._nodes[row[1], id], row))
        self._nodes[row[1], id] = ref

    def add_edge(self, id: str, ref: EdgeRef, row: tuple[Any, ...]) -> None:
        self._edges[row[1], id] = ref
        self._edge_ids.append(id)
        self.edge_rows.append(row)

    def add_session(self, session: SessionRef) -> None:
        self.sessions[session.session] = session
        self._opened.append(session)

    def append_to_chain(self, session: SessionRef, n: int) -> int | None:
        """Makes a prompt the last of its session; yields the one it follows."""
        last = session.last_prompt
        session.last_prompt = n
        self._followed.append((session, last))
        return last

    def increment_usage(self, n: int) -> None:
        """Raises a template's usage_count by one."""
        self._used.append(n)

    def count(self, tenant: int, session: int, kind: int, change: int) -> None:
        """Changes a count by what is not a planned row: those are counted when they are written."""
        key = (tenant, session, kind)
        self._counts[key] = self._counts.get(key, 0) + change

    def begin(self) -> tuple[int, ...]:
        """Starts a write; `undo` goes back to here."""
        self.changes.clear()
        return tuple(len(rows) for rows in self._planned)

    def undo(self, begun: tuple[int, ...]) -> None:
        """Takes back what was planned since `begin`."""
        self.changes.clear()
        nodes, edges, sessions, followed, filled = begun[0], begun[2], begun[6], begun[7], begun[9]
        for id, stub, row in reversed(self._filled[filled:]):
            self._nodes[row[1], id] = stub
        for row, id in zip(self.node_rows[nodes:], self._node_ids[nodes:], strict=True):
            del self._nodes[row[1], id]
        for row, id in zip(self.edge_rows[edges:], self._edge_ids[edges:], strict=True):
            del self._edges[row[1], id]
        for session, last in reversed(self._followed[followed:]):
            session.last_prompt = last
        for session in self._opened[sessions:]:
            del self.sessions[session.session]
        for rows, length in zip(self._planned, begun, strict=True):
            del rows[length:]

    def flush(self) -> None:
        """Writes what is planned into the transaction."""
        connection = self.connection
        _insert_nodes(connection, self.node_rows)
        for _, _, row in self._filled:
            materialize_stub(connection, row)
        _insert_edges(connection, self.edge_rows)
        insert_attributes(connection, self.attribute_rows)
        insert_texts(connection, self.text_rows)
        _insert_changes(connection, self.change_rows)
        self._count_planned()
        _add_counts(connection, [(*key, change) for key, change in self._counts.items() if change])
        touched = {s.session: s for s in self._opened} | {s.session: s for s, _ in self._followed}
        _put_sessions(connection, [(s.session, s.tenant, s.raw, s.active, s.last_prompt) for s in touched.values()])
        for n, uses in Counter(self._used).items():
            connection.execute("UPDATE nodes SET uses = uses + ? WHERE n = ?", (uses, n))
        self.discard()

    def _count_planned(self) -> None:
        for (tenant, session, type), nodes in Counter((row[1], row[4], row[3]) for row in self.node_rows).items():
            self.count(tenant, WHOLE_TENANT, type, nodes)
            if session:
                self.count(tenant, session, type, nodes)
        for _, stub, (_, tenant, _, type, session, *_) in self._filled:
            self.count(tenant, WHOLE_TENANT, stub.type, -1)
            self.count(tenant, WHOLE_TENANT, type, 1)
            if session:
                self.count(tenant, session, type, 1)
        for tenant, edges in Counter(row[1] for row in self.edge_rows).items():
            self.count(tenant, WHOLE_TENANT, EDGES, edges)
        for session in self._opened:
            self.count(session.tenant, WHOLE_TENANT, ACTIVE_SESSIONS, session.active)

    def discard(self) -> None:
        """Drops what is planned and not yet written."""
        for rows in self._planned:
            rows.clear()
        self._counts.clear()

    def forget(self) -> None:
        """Drops what was read: rows have changed beneath it. Nothing may be planned and unwritten."""
        self._nodes.clear()
        self._edges.clear()
        self.sessions.clear()
        sequences = dict(self.connection.execute("SELECT name, seq FROM sqlite_sequence"))
        self.next_n = sequences.get("nodes", 0) + 1
        self.next_e = sequences.get("edges", 0) + 1
