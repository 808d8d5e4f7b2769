"""The graph at a point in time: what is true now, or what was visible as of A and known at K.

A view of the present reads current nodes and relationships alone. A view of the past also reads versions, by the rule
in `schema`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from neo4j import AsyncManagedTransaction

from memory_graph.model.kinds import Direction, EdgeType
from memory_graph.model.nodes import Edge, Node
from memory_graph.model.queries import PointInTime
from memory_graph.store.ids import LATEST, bounded
from memory_graph.store.neo4j.connection import ask_at_once
from memory_graph.store.neo4j.rows import EDGE, EDGE_THEN, NODE, Neo4jRows
from memory_graph.store.neo4j.statements import SEEK
from memory_graph.store.rules.traversal import Link, Origin

NodeKey = tuple[int, str]
"""A node in one of its lives: n and id."""

_NODE_THEN = "{v}.recorded_at <= $known_at AND {v}.valid_from <= $as_of"
_EDGE_THEN = "r.recorded_at <= $known_at AND r.created_ns <= $as_of"
_NOT_ENDED = "({v}.closed_at > $known_at OR $as_of < {v}.valid_to)"
_WAS = f"{_NODE_THEN} AND {_NOT_ENDED}"
_NO_LIMIT = LATEST
_SESSION_BATCH_SIZE = 1_000

_SIDES = {Direction.OUTGOING: ("from", "to"), Direction.INCOMING: ("to", "from")}
"""How an :EdgeVersion names the end that is near and the one that is far."""


_BY_ID = (
    """
UNWIND $ids AS id MATCH (v:Node {tenant: $tenant}) USING INDEX SEEK v:Node(tenant, id) WHERE v.id = id
""",
    """
UNWIND $ids AS id MATCH (v:NodeVersion {tenant: $tenant}) USING INDEX SEEK v:NodeVersion(tenant, id) WHERE v.id = id
""",
)
_BY_SESSION = (
    """
MATCH (v:Node {tenant: $tenant}) USING INDEX SEEK v:Node(tenant, session_id, created_ns, n)
WHERE v.session_id = $session AND v.created_ns IS NOT NULL AND v.n IS NOT NULL
""",
    """
MATCH (v:NodeVersion {tenant: $tenant}) USING INDEX SEEK v:NodeVersion(tenant, session_id) WHERE v.session_id = $session
""",
)
"""How nodes are found: current ones, and versions."""


class Neo4jView:
    """A `rules.traversal.GraphView` in one transaction, whose links hold whole edges. A `PointInTime` with a
    known_at has an as_of too."""

    origin_batch_size = 500

    def __init__(self, tx: AsyncManagedTransaction, rows: Neo4jRows, tenant: str, at: PointInTime) -> None:
        self._tx = tx
        self._rows = rows
        self._tenant = tenant
        self._past = at.as_of is not None
        self._values: dict[str, Any] = {"tenant": tenant}
        if at.as_of is not None:
            self._values["as_of"] = bounded(at.as_of)
            self._values["known_at"] = LATEST if at.known_at is None else bounded(at.known_at)

    async def keys(self, ids: Sequence[str]) -> dict[str, NodeKey]:
        rows = await self._nodes(_BY_ID, "v.n, v.id", ids=list(ids))
        return {id: (n, id) for n, id in reversed(rows)}

    async def nodes(self, keys: Iterable[NodeKey]) -> dict[NodeKey, Node]:
        lives = set(keys)
        rows = await self._nodes(_BY_ID, NODE, ids=list({id for _, id in lives}))
        visible = {(row[1], row[0]): row for row in rows}
        return {key: self._rows.node(self._tenant, row) for key, row in visible.items() if key in lives}

    async def edges(self, links: Sequence[Link[NodeKey]], nodes: Mapping[NodeKey, Node]) -> list[Edge | None]:
        return [link.e if link.src in nodes and link.dst in nodes else None for link in links]

    async def session(self, key: NodeKey) -> list[tuple[int, NodeKey]]:
        rows = await self._nodes(_BY_SESSION, "v.created_ns, v.n, v.id", session=key[1])
        return [(created_ns, (n, id)) for created_ns, n, id in rows]

    async def links_within(self, keys: Mapping[NodeKey, int]) -> list[Link[NodeKey]]:
        origins, links = [Origin(key) for key in keys], []

        def take(_: int, link: Link[NodeKey]) -> None:
            if link.dst in keys:
                links.append(link)

        for first in range(0, len(origins), _SESSION_BATCH_SIZE):
            await self.links(origins[first : first + _SESSION_BATCH_SIZE], Direction.OUTGOING, frozenset(), take)
        return links

    async def links(
        self,
        origins: Sequence[Origin[NodeKey]],
        direction: Direction,
        types: frozenset[EdgeType],
        take: Callable[[int, Link[NodeKey]], object],
        limit: int | None = None,
    ) -> None:
        names = "|".join(type.name for type in sorted(types))
        sides = [side for side in _SIDES if direction in (side, Direction.BOTH)]
        statements = [_links_now(side, names, past=self._past) for side in sides]
        if self._past:
            statements += [_links_then(side) for side in sides]
        values = {
            **self._values,
            "origins": [[origin.key[1], origin.key[0], [id for _, id in origin.excluded]] for origin in origins],
            "types": [type.name for type in types] or None,
        }
        steps: list[tuple[int, Link[NodeKey]]] = []
        for statement in statements:
            room = _NO_LIMIT if limit is None else limit - len(steps)
            if not room:
                break
            result = await self._tx.run(statement, values, limit=room)
            try:
                async for record in result:
                    index, from_n, to_n, *row = record.values()
                    edge = self._rows.edge(self._tenant, row)
                    link = Link(edge, int(edge.type), (from_n, edge.from_id), (to_n, edge.to_id))
                    if limit is not None:
                        steps.append((index, link))
                    elif take(index, link):
                        return
            finally:
                await result.consume()
        steps.sort(key=lambda step: (step[0], step[1].src != origins[step[0]].key, step[1].e.recorded_at))
        for index, link in steps:
            take(index, link)

    async def _nodes(self, match: tuple[str, str], columns: str, **values: Any) -> list[list[Any]]:  # noqa: ANN401
        now, then = match
        if not self._past:
            return await ask_at_once(self._tx, f"{now} RETURN collect([{columns}])", **self._values, **values)
        visible_now = f"{now} AND {_NODE_THEN.format(v='v')} RETURN [{columns}] AS row"
        visible_then = f"{then} AND {_WAS.format(v='v')} RETURN [{columns}] AS row"
        statement = f"CALL () {{ {visible_now} UNION ALL {visible_then} }} RETURN collect(row)"
        return await ask_at_once(self._tx, statement, **self._values, **values)


_UNWIND = """
UNWIND range(0, size($origins) - 1) AS i WITH i, $origins[i][0] AS id, $origins[i][1] AS n, $origins[i][2] AS seen
"""


def _links_now(side: Direction, names: str, *, past: bool) -> str:
    leaving = side is Direction.OUTGOING
    of_type = f"[r:{names}]" if names else "[r]"
    edge = f"-{of_type}->(o)" if leaving else f"<-{of_type}-(o)"
    ends = "v AS a, o AS b" if leaving else "o AS a, v AS b"
    then = ""
    if past:
        then = f"""AND v.n = n AND {_EDGE_THEN} AND (({_NODE_THEN.format(v="o")}) OR EXISTS {{
          MATCH (w:NodeVersion {{tenant: $tenant, id: o.id}}) WHERE w.n = o.n AND {_WAS.format(v="w")} }})"""
    return f"""
{_UNWIND}
MATCH (v:Node {{tenant: $tenant, id: id}}){edge} {SEEK}
WHERE NOT o.id IN seen {then}
WITH i, r, {ends} LIMIT $limit
RETURN i, a.n, b.n, {EDGE}
"""


def _links_then(side: Direction) -> str:
    near, far = _SIDES[side]
    return f"""
{_UNWIND}
MATCH (r:EdgeVersion {{tenant: $tenant, {near}_id: id}}) USING INDEX SEEK r:EdgeVersion(tenant, {near}_id)
WHERE r.{near}_n = n AND NOT r.{far}_id IN seen AND ($types IS NULL OR r.type IN $types)
  AND {_EDGE_THEN} AND {_NOT_ENDED.format(v="r")}
  AND (EXISTS {{ MATCH (o:Node {{tenant: $tenant, id: r.{far}_id}})
                WHERE o.n = r.{far}_n AND {_NODE_THEN.format(v="o")} }}
    OR EXISTS {{ MATCH (w:NodeVersion {{tenant: $tenant, id: r.{far}_id}})
                WHERE w.n = r.{far}_n AND {_WAS.format(v="w")} }})
WITH i, r LIMIT $limit
RETURN i, r.from_n, r.to_n, {EDGE_THEN}
"""
