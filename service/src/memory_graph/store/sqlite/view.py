# ruff: noqa: S608 - statements are composed of constants of this package; every value is bound
"""The graph at a point in time, by number: what is true now, or what was visible as of A and known at K.

A view of the present reads the current tables alone. A view of the past also reads history, by the rule in `schema`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apsw

from memory_graph.model.kinds import Direction, EdgeType
from memory_graph.model.nodes import Edge, Node
from memory_graph.model.queries import At
from memory_graph.store.ids import LATEST, bounded, to_bytes
from memory_graph.store.rules import causality
from memory_graph.store.sqlite.rows import LINK, NODE, SqliteRows

_NODE_THEN = "v.recorded_at <= :known_at AND v.valid_from <= :as_of"
_EDGE_THEN = "g.recorded_at <= :known_at AND g.created_at <= :as_of"
_NOT_ENDED = "(closed_at > :known_at OR :as_of < valid_to)"

_SESSION_OF = "LEFT JOIN sessions s ON s.session = v.session"


Link = causality.Link[int]
"""An edge by numbers."""


class SqliteView:
    """Reads of one tenant at one point in time. An `At` with a known_at has an as_of too."""

    def __init__(self, connection: apsw.Connection, rows: SqliteRows, tenant: str, number: int, at: At) -> None:
        self._connection = connection
        self._rows = rows
        self._tenant = tenant
        self._past = at.as_of is not None
        self._values = {"tenant": number}
        if at.as_of is not None:
            self._values["as_of"] = bounded(at.as_of)
            self._values["known_at"] = LATEST if at.known_at is None else bounded(at.known_at)

    def numbers(self, ids: Iterable[str]) -> dict[str, int]:
        """n of the nodes that are visible."""
        found = {}
        for id in ids:
            row = self._select_nodes("v.n", "v.tenant = :tenant AND v.id = :id", id=to_bytes(id)).fetchone()
            if row is not None:
                found[id] = row[0]
        return found

    def nodes(self, numbers: Iterable[int]) -> dict[int, Node]:
        """Nodes by n; what is not visible is not there."""
        wanted = array("q", numbers)
        if not wanted:
            return {}
        rows = self._select_nodes(NODE, "v.tenant = :tenant", "carray(:wanted) c CROSS JOIN", "v.n = c.value", wanted)
        return {row[0]: self._rows.node(self._tenant, row) for row in rows}

    def visible(self, numbers: Iterable[int]) -> set[int]:
        """Which of these nodes are visible. A present edge's ends always are."""
        wanted = array("q", numbers)
        if not self._past or not wanted:
            return set(wanted)
        rows = self._select_nodes("v.n", "v.tenant = :tenant", "carray(:wanted) c CROSS JOIN", "v.n = c.value", wanted)
        return {n for (n,) in rows}

    def session(self, session: int) -> list[tuple[int, int]]:
        """(created_at, n) of the nodes of a session."""
        where = "v.tenant = :tenant AND v.session = :session"
        return [(at, n) for at, n in self._select_nodes("v.created_at, v.n", where, session=session)]

    def links(self, n: int, direction: Direction, types: frozenset[EdgeType]) -> Iterator[Link]:
        """Edges of a node, those that leave it first."""
        of_type = f" AND g.type IN ({', '.join(str(int(type)) for type in sorted(types))})" if types else ""
        if direction is not Direction.INCOMING:
            yield from self._select_links(f"g.tenant = :tenant AND g.src = :n{of_type}", n=n)
        if direction is not Direction.OUTGOING:
            yield from self._select_links(f"g.tenant = :tenant AND g.dst = :n{of_type}", n=n)

    def links_from(self, numbers: Sequence[int]) -> Iterator[Link]:
        """Edges that leave any of these nodes."""
        return self._select_links(
            "g.tenant = :tenant", "carray(:wanted) c CROSS JOIN", "g.src = c.value", array("q", numbers)
        )

    def edges(self, links: Iterable[Link], nodes: dict[int, Node]) -> dict[int, Edge]:
        """Edges by e, between nodes that were read; what is not visible is not there."""
        ends = {link.e: (link.src, link.dst) for link in links}
        if not ends:
            return {}
        found = {}
        for row in self._select_edges(
            LINK, "g.tenant = :tenant", "carray(:wanted) c CROSS JOIN", "g.e = c.value", array("q", ends)
        ):
            source, target = ends[row[0]]
            if source in nodes and target in nodes:
                found[row[0]] = self._rows.link(self._tenant, row, nodes[source].id, nodes[target].id)
        return found

    def _select_nodes(
        self,
        columns: str,
        where: str,
        driver: str = "",
        on: str = "",
        wanted: array[int] | None = None,
        **values: int | bytes,
    ) -> apsw.Cursor:
        joined = f"{_SESSION_OF} " if "s." in columns else ""
        return self._select(
            f"SELECT {columns} FROM {driver} {{table}} v {'ON ' + on if on else ''} {joined}WHERE {where}",
            ("nodes", "node_history"),
            _NODE_THEN,
            wanted,
            values,
        )

    def _select_links(
        self, where: str, driver: str = "", on: str = "", wanted: array[int] | None = None, **values: int | bytes
    ) -> Iterator[Link]:
        columns = "g.e, g.type, g.src, g.dst"
        return map(causality.Link._make, self._select_edges(columns, where, driver, on, wanted, **values))

    def _select_edges(
        self,
        columns: str,
        where: str,
        driver: str = "",
        on: str = "",
        wanted: array[int] | None = None,
        **values: int | bytes,
    ) -> apsw.Cursor:
        return self._select(
            f"SELECT {columns} FROM {driver} {{table}} g {'ON ' + on if on else ''} WHERE {where}",
            ("edges", "edge_history"),
            _EDGE_THEN,
            wanted,
            values,
        )

    def _select(
        self, select: str, tables: tuple[str, str], then: str, wanted: array[int] | None, values: dict[str, int | bytes]
    ) -> apsw.Cursor:
        current, history = (select.format(table=table) for table in tables)
        statement = current
        if self._past:
            statement = f"{current} AND {then} UNION ALL {history} AND {then} AND {_NOT_ENDED}"
        bound: dict[str, Any] = {**self._values, **values}
        if wanted is not None:
            bound["wanted"] = apsw.carray(wanted)
        return self._connection.execute(statement, bound)
