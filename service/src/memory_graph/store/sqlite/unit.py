# ruff: noqa: S608 - statements are composed of constants of this package; every value is bound
"""The unit of work: what the writes of one batch have read and will write.

Writes that only create are planned in memory against rows fetched together, and their rows go in together. A write
that is refused is taken back by its undo log; the file has not seen it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import apsw
import msgspec

from memory_graph.model.kinds import EdgeType, EventType, NodeType
from memory_graph.model.nodes import Edge, Node
from memory_graph.store.sqlite.bulk import BulkInsert
from memory_graph.store.sqlite.ids import to_bytes, to_text
from memory_graph.store.sqlite.rows import EDGE, NODE, Rows

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


class NodeRef(msgspec.Struct):
    """A node as the batch knows it. node: the whole of it, where the batch made it."""

    n: int
    type: NodeType
    session: int
    session_id: str | None
    node: Node | None = None


class EdgeRef(msgspec.Struct):
    """An edge as the batch knows it. edge: the whole of it, where the batch made it."""

    e: int
    edge: Edge | None = None


class SessionRef(msgspec.Struct):
    """A session's row: what adding a node to it reads and changes."""

    session: int
    tenant: int
    id: str
    raw: bytes
    active: int
    last_prompt: int | None


Change = tuple[EventType, NodeType | EdgeType, str, bytes, str | None]
"""An event before its commit has a number: type, kind, subject and its bytes, session."""


class Unit:
    """The state of one batch. next_n and next_e are the numbers to be given to the next node and edge."""

    def __init__(self, connection: apsw.Connection, rows: Rows, tenants: dict[str, int]) -> None:
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
        self.node_rows: list[tuple[Any, ...]] = []
        self.edge_rows: list[tuple[Any, ...]] = []
        self.attribute_rows: list[tuple[Any, ...]] = []
        self.text_rows: list[tuple[Any, ...]] = []
        self.change_rows: list[tuple[Any, ...]] = []
        self._counts: dict[tuple[int, int, int], int] = {}
        self._uses: dict[int, int] = {}
        self._touched: dict[int, SessionRef] = {}
        self._undo: list[Callable[[], object]] = []

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
                self._nodes[tenant, to_text(raw)] = NodeRef(n, NodeType(type), session, known.id if known else None)
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

    def add_node(self, tenant: int, id: str, ref: NodeRef, row: tuple[Any, ...]) -> None:
        self._nodes[tenant, id] = ref
        self._undo.append(lambda: self._nodes.pop((tenant, id)))
        self.node_rows.append(row)

    def add_edge(self, tenant: int, id: str, ref: EdgeRef, row: tuple[Any, ...]) -> None:
        self._edges[tenant, id] = ref
        self._undo.append(lambda: self._edges.pop((tenant, id)))
        self.edge_rows.append(row)

    def add_session(self, session: SessionRef) -> None:
        self.sessions[session.session] = session
        self._touched[session.session] = session
        self._undo.append(lambda: (self.sessions.pop(session.session), self._touched.pop(session.session)))

    def follow(self, session: SessionRef, n: int) -> int | None:
        """Makes a prompt the last of its session; yields the one it follows."""
        last = session.last_prompt
        session.last_prompt = n
        self._touched[session.session] = session

        def undo() -> None:
            session.last_prompt = last

        self._undo.append(undo)
        return last

    def count(self, tenant: int, session: int, kind: int, change: int = 1) -> None:
        key = (tenant, session, kind)
        self._counts[key] = self._counts.get(key, 0) + change
        self._undo.append(lambda: self._counts.__setitem__(key, self._counts[key] - change))

    def use(self, n: int) -> None:
        """Raises a template's usage_count by one."""
        self._uses[n] = self._uses.get(n, 0) + 1
        self._undo.append(lambda: self._uses.__setitem__(n, self._uses[n] - 1))

    def begin(self) -> tuple[int, ...]:
        """Starts a write; `undo` goes back to here."""
        self._undo.clear()
        self.changes.clear()
        return tuple(len(rows) for rows in (self.node_rows, self.edge_rows, self.attribute_rows, self.text_rows))

    def undo(self, begun: tuple[int, ...]) -> None:
        """Takes back what was planned since `begin`."""
        for step in reversed(self._undo):
            step()
        self._undo.clear()
        self.changes.clear()
        for rows, length in zip(
            (self.node_rows, self.edge_rows, self.attribute_rows, self.text_rows), begun, strict=True
        ):
            del rows[length:]

    def flush(self) -> None:
        """Writes what is planned into the transaction."""
        connection = self.connection
        for insert, rows in (
            (_insert_nodes, self.node_rows),
            (_insert_edges, self.edge_rows),
            (insert_attributes, self.attribute_rows),
            (insert_texts, self.text_rows),
            (_insert_changes, self.change_rows),
        ):
            insert(connection, rows)
            rows.clear()
        _add_counts(connection, [(*key, change) for key, change in self._counts.items() if change])
        self._counts.clear()
        _put_sessions(
            connection, [(s.session, s.tenant, s.raw, s.active, s.last_prompt) for s in self._touched.values()]
        )
        self._touched.clear()
        for n, uses in self._uses.items():
            connection.execute("UPDATE nodes SET uses = uses + ? WHERE n = ?", (uses, n))
        self._uses.clear()

    def discard(self) -> None:
        """Drops what is planned and not yet written."""
        for pending in (self.node_rows, self.edge_rows, self.attribute_rows, self.text_rows, self.change_rows):
            pending.clear()
        for planned in (self._counts, self._uses, self._touched):
            planned.clear()
        self._undo.clear()
        self.changes.clear()

    def forget(self) -> None:
        """Drops what was read: rows have changed beneath it. Nothing may be planned and unwritten."""
        self._nodes.clear()
        self._edges.clear()
        self.sessions.clear()
        sequences = dict(self.connection.execute("SELECT name, seq FROM sqlite_sequence"))
        self.next_n = sequences.get("nodes", 0) + 1
        self.next_e = sequences.get("edges", 0) + 1
