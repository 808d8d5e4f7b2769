# ruff: noqa: S608 - statements are composed of constants of this package; every value is bound
"""The graph at a point in time, by number: what is true now, or what was visible as of A and known at K.

A view of the present reads the current tables alone. A view of the past also reads history, by the rule in `schema`.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import apsw

from memory_graph.model.kinds import Direction, EdgeType
from memory_graph.model.nodes import Edge, Node
from memory_graph.model.queries import PointInTime
from memory_graph.store.ids import LATEST, bounded, to_bytes
from memory_graph.store.rules.traversal import Link, Origin, other_end
from memory_graph.store.sqlite.rows import LINK, NODE, SqliteRows

_NODE_THEN = "v.recorded_at <= :known_at AND v.valid_from <= :as_of"
_EDGE_THEN = "g.recorded_at <= :known_at AND g.created_at <= :as_of"
_NOT_ENDED = "(closed_at > :known_at OR :as_of < valid_to)"

_LINK_BATCH_SIZE = 256


class SqliteView:
    """A `rules.traversal.GraphView` over numbers of nodes. A `PointInTime` with a known_at has an as_of too."""

    origin_batch_size = 1

    def __init__(
        self, connection: apsw.Connection, rows: SqliteRows, tenant: str, number: int, at: PointInTime
    ) -> None:
        self._connection = connection
        self._rows = rows
        self._tenant = tenant
        self._past = at.as_of is not None
        self._values = {"tenant": number}
        if at.as_of is not None:
            self._values["as_of"] = bounded(at.as_of)
            self._values["known_at"] = LATEST if at.known_at is None else bounded(at.known_at)

    def keys(self, ids: Iterable[str]) -> dict[str, int]:
        """Numbers of the nodes that are visible."""
        keys = {}
        for id in ids:
            row = self._select_nodes("v.n", "v.tenant = :tenant AND v.id = :id", id=to_bytes(id)).fetchone()
            if row is not None:
                keys[id] = row[0]
        return keys

    def nodes(self, keys: Iterable[int]) -> dict[int, Node]:
        numbers = array("q", keys)
        if not numbers:
            return {}
        rows = self._select_nodes(NODE, "v.tenant = :tenant", "v.n = c.value", numbers)
        return {row[0]: self._rows.node(self._tenant, row) for row in rows}

    def edges(self, links: Sequence[Link[int]], nodes: Mapping[int, Node]) -> list[Edge | None]:
        if not links:
            return []
        ends = {link.e: (link.src, link.dst) for link in links}
        edges: dict[int, Edge] = {}
        for row in self._select_edges(LINK, "g.tenant = :tenant", "g.e = c.value", array("q", ends)):
            source, target = ends[row[0]]
            if source in nodes and target in nodes:
                edges[row[0]] = self._rows.link(self._tenant, row, nodes[source].id, nodes[target].id)
        return [edges.get(link.e) for link in links]

    def links(
        self,
        origins: Sequence[Origin[int]],
        direction: Direction,
        types: frozenset[EdgeType],
        take: Callable[[int, Link[int]], object],
        limit: int | None = None,
    ) -> None:
        for index, (key, excluded) in enumerate(origins):
            for links in _in_batches(self._links(key, direction, types)):
                ends = [other_end(link, key) for link in links]
                visible = self._visible(ends) if self._past else ()
                for link, end in zip(links, ends, strict=True):
                    if end in excluded or (self._past and end not in visible):
                        continue
                    if take(index, link):
                        return
                    if limit is not None:
                        limit -= 1
                        if not limit:
                            return

    def session(self, key: int) -> list[tuple[int, int]]:
        where = "v.tenant = :tenant AND v.session = :session"
        return [(at, n) for at, n in self._select_nodes("v.created_at, v.n", where, session=key)]

    def links_within(self, keys: Mapping[int, int]) -> list[Link[int]]:
        links = self._select_links("g.tenant = :tenant", "g.src = c.value", array("q", keys))
        return [link for link in links if link.dst in keys]

    def _visible(self, numbers: Sequence[int]) -> set[int]:
        """The nodes among these that are visible in a view of the past; now the ends of an edge always are."""
        return {n for (n,) in self._select_nodes("v.n", "v.tenant = :tenant", "v.n = c.value", array("q", numbers))}

    def _links(self, n: int, direction: Direction, types: frozenset[EdgeType]) -> Iterator[Link[int]]:
        """Edges of a node, those that leave it first."""
        of_type = f" AND g.type IN ({', '.join(str(int(type)) for type in sorted(types))})" if types else ""
        if direction is not Direction.INCOMING:
            yield from self._select_links(f"g.tenant = :tenant AND g.src = :n{of_type}", n=n)
        if direction is not Direction.OUTGOING:
            yield from self._select_links(f"g.tenant = :tenant AND g.dst = :n{of_type}", n=n)

    def _select_nodes(
        self, columns: str, where: str, on: str = "", keys: array[int] | None = None, **values: int | bytes
    ) -> apsw.Cursor:
        session = "LEFT JOIN sessions s ON s.session = v.session" if "s." in columns else ""
        return self._select(columns, ("nodes v", "node_history v"), session, on, where, _NODE_THEN, keys, values)

    def _select_links(
        self, where: str, on: str = "", keys: array[int] | None = None, **values: int | bytes
    ) -> Iterator[Link[int]]:
        return map(Link._make, self._select_edges("g.e, g.type, g.src, g.dst", where, on, keys, **values))

    def _select_edges(
        self, columns: str, where: str, on: str = "", keys: array[int] | None = None, **values: int | bytes
    ) -> apsw.Cursor:
        return self._select(columns, ("edges g", "edge_history g"), "", on, where, _EDGE_THEN, keys, values)

    def _select(
        self,
        columns: str,
        tables: tuple[str, str],
        join: str,
        on: str,
        where: str,
        then: str,
        keys: array[int] | None,
        values: dict[str, int | bytes],
    ) -> apsw.Cursor:
        """Select from the current table, and in a view of the past from history too. on: joins rows to `keys`."""
        driver, condition = ("carray(:keys) c CROSS JOIN ", f" ON {on}") if on else ("", "")
        rest = f"{condition} {join} WHERE {where}"
        statement = f"SELECT {columns} FROM {driver}{tables[0]}{rest}"
        if self._past:
            history = f"SELECT {columns} FROM {driver}{tables[1]}{rest}"
            statement = f"{statement} AND {then} UNION ALL {history} AND {then} AND {_NOT_ENDED}"
        bound: dict[str, Any] = {**self._values, **values}
        if keys is not None:
            bound["keys"] = apsw.carray(keys)
        return self._connection.execute(statement, bound)


def _in_batches(links: Iterator[Link[int]]) -> Iterator[list[Link[int]]]:
    while batch := list(islice(links, _LINK_BATCH_SIZE)):
        yield batch
