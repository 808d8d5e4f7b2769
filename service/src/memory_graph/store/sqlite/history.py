# ruff: noqa: S608 - statements are composed of constants of this package; every value is bound
"""Replacing and deleting: versions move to history, set by set in the file, in memory that does not grow with them."""

from __future__ import annotations

from typing import Any

import apsw

from memory_graph.model.attributes import text
from memory_graph.model.errors import GraphError
from memory_graph.model.kinds import EdgeType, NodeType
from memory_graph.model.nodes import Node, NodeData
from memory_graph.store.events import MAX_EVENTS
from memory_graph.store.ids import EARLIEST, to_bytes, to_text
from memory_graph.store.rules.unit_of_work import CurrentVersion, NodeRef, SessionRef, UnitOfWork, WriteContext
from memory_graph.store.sqlite import counts
from memory_graph.store.sqlite.bulk import BulkInsert
from memory_graph.store.sqlite.rows import NODE, NODE_TYPES, SqliteRows, attribute_rows, text_row

insert_attributes = BulkInsert("INSERT INTO attributes (tenant, name, value, created_at, n)", 5)
insert_texts = BulkInsert("INSERT INTO texts (rowid, scope, text)", 3)

_NODE_COLUMNS = "n, tenant, id, type, session, created_at, updated_at, valid_from, recorded_at, uses, data"
_NODE_TO_HISTORY = f"""
INSERT INTO node_history ({_NODE_COLUMNS}, valid_to, closed_at)
SELECT {_NODE_COLUMNS}, max(:at, valid_from), :closed_at FROM nodes
"""
_EDGE_COLUMNS = "e, tenant, id, type, src, dst, created_at, recorded_at, chain, properties"
_EDGE_TO_HISTORY = f"""
INSERT INTO edge_history ({_EDGE_COLUMNS}, valid_to, closed_at)
SELECT {_EDGE_COLUMNS}, :at, :closed_at FROM edges
"""
_IN_SESSION = "session = :session"
_OF_SESSION = f"(SELECT n FROM nodes INDEXED BY nodes_by_session WHERE tenant = :tenant AND {_IN_SESSION})"
_LEAVING = {True: f"src IN {_OF_SESSION}", False: "src = :n"}
_REACHING = {True: f"dst IN {_OF_SESSION}", False: "dst = :n"}
_REACHING_FROM_OUTSIDE = {True: f"dst IN {_OF_SESSION} AND src NOT IN {_OF_SESSION}", False: "dst = :n AND src <> :n"}
"""Edges of the nodes of a session, or of one node."""
_FIND_NODE = """
SELECT v.n, v.type, v.session, s.id, s.active, s.last_prompt FROM nodes v
LEFT JOIN sessions s ON s.session = v.session WHERE v.tenant = ? AND v.id = ?
"""
_FIND_EDGE = """
SELECT g.type, coalesce(s.id, t.id) FROM edges g
CROSS JOIN nodes a ON a.n = g.src CROSS JOIN nodes b ON b.n = g.dst
LEFT JOIN sessions s ON s.session = a.session LEFT JOIN sessions t ON t.session = b.session
WHERE g.tenant = ? AND g.id = ?
"""
_CURRENT = f"""
SELECT v.valid_from, s.active, {NODE} FROM nodes v LEFT JOIN sessions s ON s.session = v.session
WHERE v.tenant = ? AND v.id = ?
"""
_NEWEST_PROMPT = """
SELECT n FROM nodes INDEXED BY nodes_by_session_type WHERE tenant = ? AND session = ? AND type = ?
ORDER BY created_at DESC, n DESC LIMIT 1
"""
_ENDED_SESSIONS = f"SELECT n FROM node_history WHERE tenant = :tenant AND type = {int(NodeType.SESSION)}"
_DROP_HISTORY = f"""
DELETE FROM sessions WHERE session IN ({_ENDED_SESSIONS} EXCEPT SELECT n FROM nodes WHERE tenant = :tenant);
DELETE FROM node_history WHERE tenant = :tenant;
DELETE FROM edge_history WHERE tenant = :tenant;
DELETE FROM counts WHERE tenant = :tenant AND count = 0;
"""


class SqliteHistory(UnitOfWork):
    """The part of the unit of work that reads and writes one version after the other."""

    def __init__(self, connection: apsw.Connection, rows: SqliteRows, tenants: dict[str, int]) -> None:
        super().__init__()
        self.connection = connection
        self.rows = rows
        self.tenants = dict(tenants)
        self.raw: dict[str, bytes] = {}
        """The bytes of ids that were read."""

    @staticmethod
    def end_of(ref: NodeRef) -> int:
        return ref.n

    def savepoint(self) -> None:
        self.connection.execute("SAVEPOINT one_write")

    def release_savepoint(self) -> None:
        self.connection.execute("RELEASE one_write")

    def roll_back(self, refusal: GraphError) -> None:  # noqa: ARG002 - others cannot take back a write alone
        self.connection.execute("ROLLBACK TO one_write")

    def current_version(self, tenant: str, id: str) -> CurrentVersion | None:
        row = self.connection.execute(_CURRENT, (self.tenants[tenant], to_bytes(id))).fetchone()
        if row is None:
            return None
        valid_from, active, *columns = row
        node = self.rows.node(tenant, columns)
        return CurrentVersion(NodeRef(id, columns[0], node.type, node.session_id), node, valid_from, bool(active))

    def replace_version(self, context: WriteContext, current: CurrentVersion, after: Node, *, switched: bool) -> None:
        tenant, n, starts = self.tenants[context.tenant], current.ref.n, after.updated_at
        values = {"n": n, "at": starts, "closed_at": context.recorded_at}
        self.connection.execute(f"{_NODE_TO_HISTORY} WHERE n = :n", values)
        self.connection.execute(
            "UPDATE nodes SET data = ?, updated_at = ?, valid_from = ?, recorded_at = ? WHERE n = ?",
            (self.rows.encode_data(context.tenant, after.id, after.data), starts, starts, context.recorded_at, n),
        )
        self._unindex(tenant, n, after.created_at, current.node.data)
        insert_attributes(self.connection, list(attribute_rows(tenant, n, after.created_at, after.data)))
        session = self.connection.execute("SELECT session FROM nodes WHERE n = ?", (n,)).get
        assert isinstance(session, int)
        text_of_node = text_row(tenant, n, session, after.data)
        insert_texts(self.connection, [text_of_node] if text_of_node else [])
        if switched:
            self.connection.execute("UPDATE sessions SET active = 1 - active WHERE session = ?", (n,))

    def find_node(self, tenant: str, id: str) -> NodeRef | None:
        row: Any = self.connection.execute(_FIND_NODE, (self.tenants[tenant], to_bytes(id))).fetchone()
        if row is None:
            return None
        n, type, session, raw, active, last_prompt = row
        session_id = None if raw is None else to_text(raw)
        if session_id is not None:
            self.sessions[tenant, session_id] = SessionRef(tenant, session_id, session, bool(active), last_prompt)
        return NodeRef(id, n, NODE_TYPES[type], session_id)

    def find_edge(self, tenant: str, id: str) -> tuple[EdgeType, str | None] | None:
        row: Any = self.connection.execute(_FIND_EDGE, (self.tenants[tenant], to_bytes(id))).fetchone()
        return None if row is None else (EdgeType(row[0]), None if row[1] is None else to_text(row[1]))

    def chain_neighbours(self, tenant: str, ref: NodeRef) -> tuple[int | None, int | None]:
        values = (self.tenants[tenant], ref.n, int(EdgeType.FOLLOWS))
        links = "FROM edges WHERE tenant = ? AND {} = ? AND type = ? AND chain = 1"
        before: Any = self.connection.execute(f"SELECT dst {links.format('src')}", values).get
        after: Any = self.connection.execute(f"SELECT src {links.format('dst')}", values).get
        return before, after

    def newest_prompt(self, session: SessionRef) -> int | None:
        values = (self.tenants[session.tenant], session.n, int(NodeType.PROMPT))
        newest: Any = self.connection.execute(_NEWEST_PROMPT, values).get
        return newest if isinstance(newest, int) else None

    def session_counters(self, tenant: str, ref: NodeRef) -> list[int]:
        return counts.read(self.connection, self.tenants[tenant], ref.n)

    def session_nodes(self, tenant: str, ref: NodeRef) -> list[tuple[str, NodeType]]:
        rows = self.connection.execute(
            f"""SELECT id, type FROM nodes INDEXED BY nodes_by_session
            WHERE tenant = :tenant AND {_IN_SESSION} AND n <> :session ORDER BY created_at, n""",
            {"tenant": self.tenants[tenant], "session": ref.n},
        )
        return [(self._text(raw), NODE_TYPES[type]) for raw, type in rows]

    def delete_edge(self, context: WriteContext, id: str, at: int) -> None:
        self._end_edges(self._selection(context, at) | {"id": to_bytes(id)}, "id = :id")

    def delete_edges(self, context: WriteContext, ref: NodeRef, at: int) -> tuple[list[tuple[str, EdgeType]], int]:
        whole, values = ref.type is NodeType.SESSION, self._selection(context, at, ref)
        edges: list[tuple[str, EdgeType]] = []
        for which in (_LEAVING[whole], _REACHING_FROM_OUTSIDE[whole]):
            rows = self.connection.execute(
                f"SELECT id, type FROM edges WHERE tenant = :tenant AND {which} LIMIT {MAX_EVENTS + 1}", values
            )
            edges += [(self._text(raw), EdgeType(type)) for raw, type in rows]
        return edges, self._end_edges(values, _LEAVING[whole]) + self._end_edges(values, _REACHING[whole])

    def delete_nodes(self, context: WriteContext, ref: NodeRef, at: int, count: int) -> None:  # noqa: ARG002 - is true
        connection, values = self.connection, self._selection(context, at, ref)
        whole = ref.type is NodeType.SESSION
        which = f"WHERE tenant = :tenant AND {_IN_SESSION if whole else 'n = :n'}"
        for n, raw, created_at, stored in connection.execute(
            f"SELECT n, id, created_at, data FROM nodes {which}", values
        ):
            data = self.rows.decode_data(context.tenant, to_text(raw), stored)
            self._unindex(values["tenant"], n, created_at, data)
        connection.execute(f"{_NODE_TO_HISTORY} {which}", values)
        connection.execute(f"DELETE FROM nodes {which}", values)
        if whole:
            connection.execute(f"UPDATE sessions SET active = 0, last_prompt = NULL WHERE {_IN_SESSION}", values)
            connection.execute(f"DELETE FROM counts WHERE tenant = :tenant AND {_IN_SESSION}", values)

    def drop_history(self, tenant: str) -> None:
        self.connection.execute(_DROP_HISTORY, {"tenant": self.tenants[tenant]})

    def materialize_stub(self, row: tuple[Any, ...]) -> None:
        """Make a stub's row that of the node it stood for. The stub was true at no time: only reads as of what was
        known before this still see it. row: as for a new node."""
        n, _, _, type, session, created_at, updated_at, valid_from, recorded_at, data = row
        values = {"n": n, "at": EARLIEST, "closed_at": recorded_at}
        self.connection.execute(f"{_NODE_TO_HISTORY} WHERE n = :n", values)
        self.connection.execute(
            """UPDATE nodes SET type = ?, session = ?, created_at = ?, updated_at = ?, valid_from = ?, recorded_at = ?,
            data = ? WHERE n = ?""",
            (type, session, created_at, updated_at, valid_from, recorded_at, data, n),
        )

    def _selection(self, context: WriteContext, at: int, ref: NodeRef | None = None) -> dict[str, Any]:
        values = {"tenant": self.tenants[context.tenant], "at": at, "closed_at": context.recorded_at}
        return values if ref is None else {**values, "n": ref.n, "session": ref.n}

    def _end_edges(self, values: dict[str, Any], which: str) -> int:
        self.connection.execute(f"{_EDGE_TO_HISTORY} WHERE tenant = :tenant AND {which}", values)
        self.connection.execute(f"DELETE FROM edges WHERE tenant = :tenant AND {which}", values)
        return self.connection.changes()

    def _unindex(self, tenant: int, n: int, created_at: int, data: NodeData) -> None:
        """Take a node out of the attribute and the full-text index."""
        self.connection.executemany(
            "DELETE FROM attributes WHERE tenant = ? AND name = ? AND value = ? AND created_at = ? AND n = ?",
            attribute_rows(tenant, n, created_at, data),
        )
        if text(data):
            self.connection.execute("DELETE FROM texts WHERE rowid = ?", (n,))

    def _text(self, raw: bytes) -> str:
        id = to_text(raw)
        self.raw[id] = raw
        return id
