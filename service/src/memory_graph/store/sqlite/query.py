# ruff: noqa: S608 - statements are composed of constants of this package; every value is bound
"""A NodeFilter as SQL. Each query names its index, so the planner cannot choose a slow one."""

from __future__ import annotations

from typing import Any

import apsw
import msgspec

from memory_graph.model.kinds import NodeType
from memory_graph.model.queries import NodeFilter
from memory_graph.store.ids import bounded, to_bytes
from memory_graph.store.rules.counters import nodes_matching
from memory_graph.store.sqlite import counts
from memory_graph.store.sqlite.counts import WHOLE_TENANT
from memory_graph.store.sqlite.rows import attribute_value, text_scope

PageKey = tuple[int, int]
"""Where a page ends: created_at and n of its last node."""


class SqlQuery(msgspec.Struct, frozen=True):
    """A filter ready to be asked: FROM and WHERE with their values, and the count where it is kept as a number.

    order: the columns that give created_at and n.
    """

    source: str
    values: tuple[Any, ...]
    order: tuple[str, str]
    counter: tuple[int, int, NodeType | None] | None


def session_number(connection: apsw.Connection, tenant: int, id: str) -> int | None:
    """n of a session that exists."""
    number = connection.execute(
        "SELECT n FROM nodes WHERE tenant = ? AND id = ? AND session = n", (tenant, to_bytes(id))
    ).get
    assert number is None or isinstance(number, int)
    return number


def to_sql(connection: apsw.Connection, tenant: int, condition: NodeFilter) -> SqlQuery | None:
    """The filter as SQL; None where nothing can match."""
    session = None
    if condition.session_id is not None:
        session = session_number(connection, tenant, condition.session_id)
        if session is None or condition.type is NodeType.SESSION:
            return None
    if condition.text is not None:
        terms = _match(tenant, session, condition.text)
        return None if terms is None else _by_text(tenant, session, condition, terms)
    if condition.attributes and session is None:
        return _by_attribute(tenant, condition)
    return _by_index(tenant, session, condition)


def _by_index(tenant: int, session: int | None, condition: NodeFilter) -> SqlQuery:
    index = {
        (False, False): "nodes_by_time",
        (False, True): "nodes_by_type",
        (True, False): "nodes_by_session",
        (True, True): "nodes_by_session_type",
    }[session is not None, condition.type is not None]
    where, values = ["v.tenant = ?"], [tenant]
    if session is not None:
        where.append("v.session = ? AND v.n <> v.session")
        values.append(session)
    if condition.type is not None:
        where.append("v.type = ?")
        values.append(int(condition.type))
    bounded = _bounds(condition, "v.created_at", where, values)
    _having(condition.attributes, tenant, ("v.created_at", "v.n"), where, values)
    counter = None
    if not bounded and not condition.attributes:
        counter = (tenant, session or WHOLE_TENANT, condition.type)
    source = f"FROM nodes v INDEXED BY {index} WHERE {' AND '.join(where)}"
    return SqlQuery(source, tuple(values), ("v.created_at", "v.n"), counter)


def _by_attribute(tenant: int, condition: NodeFilter) -> SqlQuery:
    (name, value), *others = condition.attributes
    where, values = ["x.tenant = ? AND x.name = ? AND x.value = ?"], [tenant, name, attribute_value(value)]
    _bounds(condition, "x.created_at", where, values)
    _having(tuple(others), tenant, ("x.created_at", "x.n"), where, values)
    nodes = ""
    if condition.type is not None:
        nodes = "CROSS JOIN nodes v ON v.n = x.n"
        where.append("v.type = ?")
        values.append(int(condition.type))
    source = f"FROM attributes x {nodes} WHERE {' AND '.join(where)}"
    return SqlQuery(source, tuple(values), ("x.created_at", "x.n"), None)


def _by_text(tenant: int, session: int | None, condition: NodeFilter, terms: str) -> SqlQuery:
    where, values = ["texts MATCH ? AND v.tenant = ?"], [terms, tenant]
    if session is not None:
        where.append("v.session = ? AND v.n <> v.session")
        values.append(session)
    if condition.type is not None:
        where.append("v.type = ?")
        values.append(int(condition.type))
    _bounds(condition, "v.created_at", where, values)
    _having(condition.attributes, tenant, ("v.created_at", "v.n"), where, values)
    source = f"FROM texts CROSS JOIN nodes v ON v.n = texts.rowid WHERE {' AND '.join(where)}"
    return SqlQuery(source, tuple(values), ("v.created_at", "v.n"), None)


def _bounds(condition: NodeFilter, column: str, where: list[str], values: list[Any]) -> bool:
    for operator, bound in ((">=", condition.after), ("<=", condition.before)):
        if bound is not None:
            where.append(f"{column} {operator} ?")
            values.append(bounded(bound))
    return condition.after is not None or condition.before is not None


def _having(
    attributes: tuple[tuple[str, str], ...], tenant: int, order: tuple[str, str], where: list[str], values: list[Any]
) -> None:
    for name, value in attributes:
        where.append(
            "EXISTS (SELECT 1 FROM attributes y WHERE y.tenant = ? AND y.name = ? AND y.value = ? "
            f"AND y.created_at = {order[0]} AND y.n = {order[1]})"
        )
        values += [tenant, name, attribute_value(value)]


def _match(tenant: int, session: int | None, text: str) -> str | None:
    """Words for FTS5, each a string and so never syntax; None where there is no word."""
    terms = [word for word in text.replace("\0", " ").split() if any(character.isalnum() for character in word)]
    if not terms:
        return None
    scope = text_scope(tenant, session or 0).split()[-1]
    quoted = " AND ".join(f'text : "{word.replace(chr(34), " ")}"' for word in terms)
    return f'scope : "{scope}" AND {quoted}'


def page(connection: apsw.Connection, sql: SqlQuery, limit: int, offset: int) -> list[int]:
    """Numbers of the nodes of a page, newest first."""
    created_at, n = sql.order
    rows = connection.execute(
        f"SELECT {n} {sql.source} ORDER BY {created_at} DESC, {n} DESC LIMIT ? OFFSET ?",
        (*sql.values, limit, offset),
    )
    return [number for (number,) in rows]


def page_before(connection: apsw.Connection, sql: SqlQuery, limit: int, key: PageKey | None) -> list[PageKey]:
    """Keys of the nodes of the page that comes after a key."""
    created_at, n = sql.order
    older, values = ("", ()) if key is None else (f"AND ({created_at}, {n}) < (?, ?)", key)
    rows = connection.execute(
        f"SELECT {created_at}, {n} {sql.source} {older} ORDER BY {created_at} DESC, {n} DESC LIMIT ?",
        (*sql.values, *values, limit),
    )
    return [(at, number) for at, number in rows]


def total(connection: apsw.Connection, sql: SqlQuery) -> int:
    """Return how many nodes match."""
    if sql.counter is not None:
        tenant, session, type = sql.counter
        return nodes_matching(counts.read(connection, tenant, session), type, in_session=session != WHOLE_TENANT)
    count = connection.execute(f"SELECT count(*) {sql.source}", sql.values).get
    assert isinstance(count, int)
    return count
