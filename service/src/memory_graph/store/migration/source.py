# ruff: noqa: S608 - statements are composed of constants of this package; every value is bound
"""The embedded store as rows to be moved, without what an interrupted smoke test left. The file is locked and opened
read-only."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import apsw

from memory_graph.model.errors import StoreCorrupt
from memory_graph.model.kinds import NodeType
from memory_graph.model.tenants import SMOKE_TEST_TENANT
from memory_graph.store.codec import PlainCodec
from memory_graph.store.ids import LATEST, to_text
from memory_graph.store.migration.parts import (
    CommitRow,
    EdgeRow,
    GlobalState,
    GraphPart,
    NodeRow,
    Row,
    SessionState,
    TenantRow,
)
from memory_graph.store.sqlite import counts
from memory_graph.store.sqlite.connection import FileLock, failures, open_reader
from memory_graph.store.sqlite.rows import LINK, NODE, SqliteRows
from memory_graph.store.sqlite.schema import MIGRATIONS, version_of

_OF_NODES = f"""
SELECT {{key}}, t.name, v.valid_from, v.uses, {{ended}}, {NODE} FROM {{table}} v
JOIN tenants t ON t.tenant = v.tenant LEFT JOIN sessions s ON s.session = v.session
WHERE {{key}} > ? AND t.name <> '{SMOKE_TEST_TENANT}' ORDER BY {{key}} LIMIT ?
"""
_END = """coalesce((SELECT v.id FROM nodes v WHERE v.n = g.{end}),
  (SELECT v.id FROM node_history v WHERE v.tenant = g.tenant AND v.n = g.{end} LIMIT 1))"""
_OF_EDGES = f"""
SELECT {{key}}, t.name, g.src, g.dst, g.chain, {{ended}}, {_END.format(end="src")}, {_END.format(end="dst")}, {LINK}
FROM {{table}} g JOIN tenants t ON t.tenant = g.tenant
WHERE {{key}} > ? AND t.name <> '{SMOKE_TEST_TENANT}' ORDER BY {{key}} LIMIT ?
"""
_VERSION = "{table}.valid_to, {table}.closed_at"
_STATEMENTS = {
    GraphPart.NODES: _OF_NODES.format(key="v.n", ended="NULL, NULL", table="nodes"),
    GraphPart.EDGES: _OF_EDGES.format(key="g.e", ended="NULL, NULL", table="edges"),
    GraphPart.NODE_VERSIONS: _OF_NODES.format(key="v.rowid", ended=_VERSION.format(table="v"), table="node_history"),
    GraphPart.EDGE_VERSIONS: _OF_EDGES.format(key="g.rowid", ended=_VERSION.format(table="g"), table="edge_history"),
    GraphPart.COMMITS: """
SELECT c.seq, t.name, s.id, c.recorded_at, c.events FROM changes c JOIN tenants t ON t.tenant = c.tenant
LEFT JOIN sessions s ON s.session = c.session WHERE c.seq > ? ORDER BY c.seq LIMIT ?
""",
}
_KEYS = {
    GraphPart.NODES: ("nodes", "n"),
    GraphPart.EDGES: ("edges", "e"),
    GraphPart.NODE_VERSIONS: ("node_history", "rowid"),
    GraphPart.EDGE_VERSIONS: ("edge_history", "rowid"),
    GraphPart.COMMITS: ("changes", "seq"),
}
"""Where the rows of a part are, and the key they are read by."""
_SESSION = """
SELECT s.active, (SELECT p.id FROM nodes p WHERE p.n = s.last_prompt) FROM sessions s WHERE s.session = ?
"""
_COUNTS = """
SELECT c.kind, c.count FROM counts c
WHERE c.session = ?1 AND c.tenant = coalesce(?2, (SELECT s.tenant FROM sessions s WHERE s.session = ?1))
"""
_TENANTS = "SELECT tenant, name, feed_floor FROM tenants WHERE name <> ?"
_COUNT = f"""
SELECT count(*) FROM {{table}}
WHERE {{key}} <= ? AND tenant NOT IN (SELECT tenant FROM tenants WHERE name = '{SMOKE_TEST_TENANT}')
"""
_NEWEST = """
SELECT max(at) FROM (
  SELECT max(recorded_at) AS at FROM nodes UNION ALL SELECT max(recorded_at) FROM edges
  UNION ALL SELECT max(closed_at) FROM node_history UNION ALL SELECT max(closed_at) FROM edge_history
  UNION ALL SELECT max(recorded_at) FROM changes)
"""


class MigrationSource:
    """The embedded store's file, open for migration. A context manager that unlocks the file at its end."""

    def __init__(self, path: Path) -> None:
        """Raises `StoreUnavailable` when the file has another owner, `StoreCorrupt` when it is no store of this
        version."""
        self._path = path
        self._rows = SqliteRows(PlainCodec())
        self._lock = FileLock(path)
        try:
            with failures(path):
                self._connection = open_reader(path)
                _check_version(self._connection)
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._connection.close()
        self._lock.release()

    def count(self, part: GraphPart, upto: int = LATEST) -> int:
        """Return the number of rows of a part, up to a key."""
        table, key = _KEYS[part]
        ((rows,),) = self._ask(_COUNT.format(table=table, key=key), upto)
        return int(rows)

    def fingerprint(self) -> str:
        """Differs once anything has been written: each write is a commit, takes a number, or both."""
        newest = self._ask("SELECT seq, recorded_at FROM changes ORDER BY seq DESC LIMIT 1")
        sequences = self._ask("SELECT name, seq FROM sqlite_sequence ORDER BY name")
        first = self._ask("SELECT id FROM nodes ORDER BY n LIMIT 1")
        return hashlib.sha256(repr((newest, sequences, first)).encode()).hexdigest()

    def page(self, part: GraphPart, after: int, size: int) -> tuple[list[Row], int]:
        """Up to `size` rows in their order, and the key to go on after."""
        rows = self._ask(_STATEMENTS[part], after, size)
        to_row: Callable[[Any], Row] = self._node if part in (GraphPart.NODES, GraphPart.NODE_VERSIONS) else self._edge
        if part is GraphPart.COMMITS:
            to_row = _commit
        return [to_row(row) for row in rows], rows[-1][0] if rows else after

    def rows(self, part: GraphPart, size: int) -> Iterator[list[Row]]:
        """All rows of a part, page by page."""
        after = -1
        while True:
            page, after = self.page(part, after, size)
            if not page:
                return
            yield page

    def global_state(self) -> GlobalState:
        """Return the state that belongs to no row."""
        tenants = [
            TenantRow(name, self._counts(number, counts.WHOLE_TENANT), floor)
            for number, name, floor in self._ask(_TENANTS, SMOKE_TEST_TENANT)
        ]
        ((oldest, newest),) = self._ask("SELECT min(seq), max(seq) FROM changes")
        ((n,),) = self._ask("SELECT coalesce(max(seq), 0) FROM sqlite_sequence")
        ((recorded_at,),) = self._ask(_NEWEST)
        return GlobalState(
            tenants=tenants,
            seq=newest or 0,
            dropped=(oldest or 1) - 1,
            n=n,
            recorded_at=recorded_at or 0,
            cursors=dict(self._ask("SELECT reader, seq FROM cursors")),
        )

    def _ask(self, statement: str, *values: int | str | None) -> list[tuple[Any, ...]]:
        with failures(self._path):
            return self._connection.execute(statement, values).fetchall()

    def _node(self, row: tuple[Any, ...]) -> NodeRow:
        _, tenant, valid_from, uses, valid_to, closed_at, *columns = row
        node, n = self._rows.node(tenant, columns), columns[0]
        ended = None if valid_to is None else (valid_to, closed_at)
        state = self._session(n) if node.type is NodeType.SESSION and ended is None else None
        return NodeRow(tenant, n, node, valid_from, uses, ended, state)

    def _edge(self, row: tuple[Any, ...]) -> EdgeRow:
        _, tenant, src, dst, chain, valid_to, closed_at, from_id, to_id, *columns = row
        edge = self._rows.link(tenant, columns, to_text(from_id), to_text(to_id))
        ended = None if valid_to is None else (valid_to, closed_at)
        return EdgeRow(tenant, columns[0], edge, src, dst, bool(chain), ended)

    def _session(self, n: int) -> SessionState:
        ((active, last),) = self._ask(_SESSION, n)
        return SessionState(bool(active), None if last is None else to_text(last), self._counts(None, n))

    def _counts(self, tenant: int | None, session: int) -> list[int]:
        return counts.counters(self._ask(_COUNTS, session, tenant))


def _check_version(connection: apsw.Connection) -> None:
    version = version_of(connection)
    if version < len(MIGRATIONS):
        raise StoreCorrupt(
            f"{connection.filename} has schema {version} and is moved from schema {len(MIGRATIONS)}: start this version"
            " of the service on it once, which brings it there, stop it, and run this again"
        )


def _commit(row: tuple[Any, ...]) -> CommitRow:
    seq, tenant, session, recorded_at, events = row
    return CommitRow(tenant, seq, None if session is None else to_text(session), recorded_at, events)
