# ruff: noqa: S608 - statements are composed of constants of this package; every value is bound
"""Reads of the present: nodes, edges, pages and counts."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import apsw

from memory_graph.model.errors import NotFound
from memory_graph.model.kinds import Direction, EdgeType
from memory_graph.model.mutations import Event
from memory_graph.model.nodes import Edge, Node
from memory_graph.model.queries import (
    NodeFilter,
    Page,
    PointInTime,
    Stats,
)
from memory_graph.store.commits import CommitPage
from memory_graph.store.ids import to_bytes
from memory_graph.store.rules.counters import stats_of
from memory_graph.store.rules.steps import Steps, run
from memory_graph.store.sqlite import changes, commits, counts, query
from memory_graph.store.sqlite.counts import WHOLE_TENANT
from memory_graph.store.sqlite.query import PageKey
from memory_graph.store.sqlite.rows import EDGE, NODE, SqliteRows
from memory_graph.store.sqlite.view import SqliteView

_BY_ID = f"""SELECT {NODE} FROM carray(?1) c CROSS JOIN nodes v ON v.tenant = ?2 AND v.id = c.value
LEFT JOIN sessions s ON s.session = v.session"""
_BY_NUMBER = f"""SELECT {NODE} FROM carray(?1) c CROSS JOIN nodes v ON v.n = c.value AND v.tenant = ?2
LEFT JOIN sessions s ON s.session = v.session"""
_ENDS = "CROSS JOIN nodes a ON a.n = g.src CROSS JOIN nodes b ON b.n = g.dst"
_EDGE_BY_ID = f"SELECT {EDGE} FROM edges g {_ENDS} WHERE g.tenant = ? AND g.id = ?"
_OUT = f"SELECT {EDGE} FROM edges g INDEXED BY edges_out {_ENDS} WHERE g.tenant = ?1 AND g.src = ?2"
_IN = f"SELECT {EDGE} FROM edges g INDEXED BY edges_in {_ENDS} WHERE g.tenant = ?1 AND g.dst = ?2"
_TOTALS = """SELECT c.kind, sum(c.count) FROM tenants t CROSS JOIN counts c ON c.tenant = t.tenant AND c.session = ?
GROUP BY c.kind"""

T = TypeVar("T")


class SqliteReader:
    """A read-only connection. For one thread at a time."""

    def __init__(self, connection: apsw.Connection, rows: SqliteRows) -> None:
        self.connection = connection
        self.rows = rows

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Reads inside see one commit's state."""
        self.connection.execute("BEGIN")
        try:
            yield
        finally:
            if self.connection.in_transaction:
                self.connection.execute("COMMIT")

    def tenant(self, name: str) -> int | None:
        """The number of a tenant; None for one that never wrote."""
        number = self.connection.execute("SELECT tenant FROM tenants WHERE name = ?", (name,)).get
        assert number is None or isinstance(number, int)
        return number

    def nodes(self, tenant: str, ids: Sequence[str]) -> list[Node]:
        number = self.tenant(tenant)
        keys = tuple({to_bytes(id) for id in ids})
        if number is None or not keys:
            return []
        rows = self.connection.execute(_BY_ID, (apsw.carray(keys), number))
        nodes = {node.id: node for node in (self.rows.node(tenant, row) for row in rows)}
        return [nodes[id] for id in ids if id in nodes]

    def by_numbers(self, tenant: str, number: int, numbers: Sequence[int]) -> dict[int, Node]:
        """Nodes that exist now, by n."""
        if not numbers:
            return {}
        rows = self.connection.execute(_BY_NUMBER, (apsw.carray(array("q", numbers)), number))
        return {row[0]: self.rows.node(tenant, row) for row in rows}

    def edge(self, tenant: str, id: str) -> Edge | None:
        number = self.tenant(tenant)
        row = self.connection.execute(_EDGE_BY_ID, (number, to_bytes(id))).fetchone()
        return None if row is None else self.rows.edge(tenant, row)

    def edges(self, tenant: str, node_id: str, direction: Direction, type: EdgeType | None) -> list[Edge]:
        number = self.tenant(tenant)
        n = self.connection.execute("SELECT n FROM nodes WHERE tenant = ? AND id = ?", (number, to_bytes(node_id))).get
        if n is None:
            raise NotFound("node", node_id)
        of_type, values = ("", (number, n)) if type is None else (" AND g.type = ?3", (number, n, int(type)))
        edges: dict[int, Edge] = {}
        if direction is not Direction.INCOMING:
            self._collect(edges, tenant, self.connection.execute(_OUT + of_type, values))
        if direction is not Direction.OUTGOING:
            self._collect(edges, tenant, self.connection.execute(_IN + of_type, values))
        return [edge for _, edge in sorted(edges.items(), key=lambda item: (item[1].created_at, item[0]))]

    def _collect(self, edges: dict[int, Edge], tenant: str, rows: Iterable[Sequence[Any]]) -> None:
        for row in rows:
            edges[row[0]] = self.rows.edge(tenant, row)

    def query(self, tenant: str, condition: NodeFilter, limit: int, offset: int) -> Page:
        with self.snapshot():
            number = self.tenant(tenant)
            sql = None if number is None else query.to_sql(self.connection, number, condition)
            if number is None or sql is None:
                return Page([], 0)
            numbers = query.page(self.connection, sql, limit, offset)
            nodes = self.by_numbers(tenant, number, numbers)
            return Page([nodes[n] for n in numbers], query.total(self.connection, sql))

    def page_before(
        self, tenant: str, condition: NodeFilter, limit: int, key: PageKey | None
    ) -> tuple[list[Node], PageKey | None]:
        """The page that comes after a key, and its own key; None at the end."""
        with self.snapshot():
            number = self.tenant(tenant)
            sql = None if number is None else query.to_sql(self.connection, number, condition)
            if number is None or sql is None:
                return [], None
            keys = query.page_before(self.connection, sql, limit, key)
            nodes = self.by_numbers(tenant, number, [n for _, n in keys])
            return [nodes[n] for _, n in keys], keys[-1] if len(keys) == limit else None

    def walk(self, tenant: str, at: PointInTime, rule: Callable[[SqliteView], Steps[T]]) -> T:
        """Run a rule over the graph at a point in time."""
        with self.snapshot():
            return run(rule(SqliteView(self.connection, self.rows, tenant, self.tenant(tenant) or 0, at)))

    def stats(self, tenant: str) -> Stats:
        return stats_of(counts.read(self.connection, self.tenant(tenant) or 0, WHOLE_TENANT))

    def totals(self) -> Stats:
        """The sums of the counts of all tenants."""
        return stats_of(counts.counters(self.connection.execute(_TOTALS, (WHOLE_TENANT,))))

    def changes(self, tenant: str, after: str | None, limit: int, session: str | None) -> list[Event]:
        with self.snapshot():
            row = self.connection.execute("SELECT tenant, feed_floor FROM tenants WHERE name = ?", (tenant,)).fetchone()
            number, floor = row or (0, 0)
            return changes.read(self.connection, number, floor, after, limit, session)

    def commits(self, after: int, limit: int) -> CommitPage:
        with self.snapshot():
            return commits.read(self.connection, after, limit)

    def cursor(self, reader: str) -> int:
        return commits.cursor(self.connection, reader)

    def probe(self) -> None:
        """Reads a page of the file."""
        self.connection.execute("SELECT at FROM probe").fetchone()

    def close(self) -> None:
        self.connection.close()
