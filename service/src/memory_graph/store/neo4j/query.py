"""A NodeFilter as Cypher. Each query names its index, so the planner cannot choose a slow one."""

from __future__ import annotations

from typing import Any

import msgspec
from neo4j import AsyncManagedTransaction

from memory_graph.model.kinds import NodeType
from memory_graph.model.nodes import Node
from memory_graph.model.queries import NodeFilter
from memory_graph.store.ids import EARLIEST, LATEST, bounded
from memory_graph.store.neo4j.connection import ask, ask_at_once
from memory_graph.store.neo4j.fulltext import search
from memory_graph.store.neo4j.rows import NODE, Neo4jRows
from memory_graph.store.neo4j.schema import SEARCH
from memory_graph.store.neo4j.statements import SEEK
from memory_graph.store.rules.counters import nodes_matching

PageKey = tuple[int, int, str]
"""Where a page ends: created_at, n and id of its last node."""

_INDEXES = {
    (False, False): ("tenant", "created_ns", "n"),
    (False, True): ("tenant", "type", "created_ns", "n"),
    (True, False): ("tenant", "session_id", "created_ns", "n"),
    (True, True): ("tenant", "session_id", "type", "created_ns", "n"),
}
"""The index of a filter by whether it names a session and a type."""
_TIME = "v.created_ns >= $after AND v.created_ns <= $before"
_REST = "all(word IN $rest WHERE (' ' + v.words + ' ') CONTAINS word)"
_OLDER = "(v.created_ns < $at OR v.n < $n OR (v.n = $n AND v.id < $id))"
_OF_TENANT = "MATCH (c:Tenant {name: $tenant}) RETURN c.counts"
_OF_SESSION = f"MATCH (v:Node {{tenant: $tenant, id: $session}}) {SEEK} RETURN v.counts"


class CypherQuery(msgspec.Struct, frozen=True):
    """A filter ready to be asked: what it matches, with its values, and its order. counted: it has no condition but
    session and type, of which there are counts."""

    source: str
    order: str
    values: dict[str, Any]
    counted: bool


def to_cypher(tenant: str, condition: NodeFilter) -> CypherQuery | None:
    """The filter as Cypher; None where nothing can match."""
    if condition.session_id is not None and condition.type is NodeType.SESSION:
        return None
    index = _INDEXES[condition.session_id is not None, condition.type is not None]
    values: dict[str, Any] = {
        "tenant": tenant,
        "session": condition.session_id,
        "type": condition.type and int(condition.type),
        "after": EARLIEST if condition.after is None else bounded(condition.after),
        "before": LATEST if condition.before is None else bounded(condition.before),
    }
    if condition.text is None and not condition.attributes:
        return CypherQuery(
            _by_index(condition, index),
            _newest_first(index),
            values,
            condition.after is None and condition.before is None,
        )
    search_terms = search(tenant, condition)
    if search_terms is None:
        return None
    values |= {"terms": search_terms.terms, "rest": search_terms.rest}
    source = f"CALL db.index.fulltext.queryNodes('{SEARCH}', $terms) YIELD node AS v WHERE {_TIME}"
    if condition.session_id is not None:
        source += " AND v.id <> $session"
    if search_terms.rest:
        source += f" AND {_REST}"
    return CypherQuery(source, _newest_first(("created_ns", "n")), values, False)


def _newest_first(columns: tuple[str, ...]) -> str:
    """The order of a page. Where every column of an index is named, the index is read in that order, and no further
    than the page."""
    return f"ORDER BY {', '.join(f'v.{column} DESC' for column in columns)}, v.id DESC"


def _by_index(condition: NodeFilter, index: tuple[str, ...]) -> str:
    where = ["v.tenant = $tenant"]
    if condition.session_id is not None:
        where.append("v.session_id = $session AND v.id <> $session")
    if condition.type is not None:
        where.append("v.type = $type")
    hint = f"USING INDEX SEEK v:Node({', '.join(index)})"
    return f"MATCH (v:Node) {hint} WHERE {' AND '.join(where)} AND {_TIME} AND v.n IS NOT NULL"


async def read_page(
    tx: AsyncManagedTransaction, rows: Neo4jRows, tenant: str, cypher: CypherQuery, limit: int, offset: int
) -> list[Node]:
    """The nodes of a page, newest first."""
    statement = f"{cypher.source} WITH v {cypher.order} SKIP $offset LIMIT $limit RETURN collect([{NODE}])"
    page = await ask_at_once(tx, statement, **cypher.values, offset=offset, limit=limit)
    return [rows.node(tenant, row) for row in page]


async def page_before(
    tx: AsyncManagedTransaction, rows: Neo4jRows, tenant: str, cypher: CypherQuery, limit: int, key: PageKey | None
) -> tuple[list[Node], PageKey | None]:
    """The page that comes after a key, and its own key; None at the end."""
    source, values = cypher.source, dict(cypher.values)
    if key is not None:
        at, n, id = key
        source = f"{source} AND {_OLDER}"
        values |= {"before": at, "at": at, "n": n, "id": id}
    page = await ask_at_once(
        tx, f"{source} WITH v {cypher.order} LIMIT $limit RETURN collect([{NODE}])", **values, limit=limit
    )
    nodes = [rows.node(tenant, row) for row in page]
    if len(page) < limit:
        return nodes, None
    id, n, _, _, created_ns, *_ = page[-1]
    return nodes, (created_ns, n, id)


async def total(tx: AsyncManagedTransaction, cypher: CypherQuery) -> int:
    """Return how many nodes match."""
    if not cypher.counted:
        ((count,),) = await ask(tx, f"{cypher.source} RETURN count(v)", **cypher.values)
        assert isinstance(count, int)
        return count
    session, type = cypher.values["session"], cypher.values["type"]
    counts = await ask(tx, _OF_TENANT if session is None else _OF_SESSION, **cypher.values)
    if not counts or counts[0][0] is None:
        return 0
    return nodes_matching(counts[0][0], type, in_session=session is not None)
