# ruff: noqa: S608 - statements are composed of constants of this package; every value is bound
"""Ending edges, nodes and whole sessions: set by set in the file, in memory that does not grow with what is ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apsw

from memory_graph.model.attributes import text
from memory_graph.model.errors import AlreadyExists, NotFound
from memory_graph.model.kinds import EdgeType, EventType, NodeType
from memory_graph.store.events import MAX_EVENTS
from memory_graph.store.ids import to_bytes, to_text
from memory_graph.store.sqlite.counts import ACTIVE_SESSIONS, EDGES, WHOLE_TENANT
from memory_graph.store.sqlite.create import WriteContext
from memory_graph.store.sqlite.history import NODE_TO_HISTORY
from memory_graph.store.sqlite.rows import attribute_rows
from memory_graph.store.sqlite.unit_of_work import SqliteUnitOfWork

_EDGE_COLUMNS = "e, tenant, id, type, src, dst, created_at, recorded_at, chain, properties"
_IN_SESSION = "session = :session"
_OF_SESSION = f"(SELECT n FROM nodes INDEXED BY nodes_by_session WHERE tenant = :tenant AND {_IN_SESSION})"


def delete_edge(unit: SqliteUnitOfWork, context: WriteContext, id: str, at: int) -> None:
    """Ends an edge."""
    found = unit.connection.execute(
        """SELECT g.e, g.type, coalesce(s.id, t.id) FROM edges g
        CROSS JOIN nodes a ON a.n = g.src CROSS JOIN nodes b ON b.n = g.dst
        LEFT JOIN sessions s ON s.session = a.session LEFT JOIN sessions t ON t.session = b.session
        WHERE g.tenant = ? AND g.id = ?""",
        (context.tenant, to_bytes(id)),
    ).fetchone()
    if found is None:
        raise NotFound("edge", id)
    e, type, session = found
    ended = _delete_edges(unit, context, at, "e = :e", {"e": e})
    unit.count(context.tenant, WHOLE_TENANT, EDGES, -ended)
    unit.changes.append(
        (EventType.EDGE_DELETED, EdgeType(type), id, to_bytes(id), None if session is None else to_text(session))
    )


def delete_node(unit: SqliteUnitOfWork, context: WriteContext, id: str, at: int, relink_edge_id: str) -> None:
    """Ends a node with its edges; a session with all of its nodes and theirs."""
    raw = to_bytes(id)
    found = unit.connection.execute(
        """SELECT v.n, v.type, v.session, s.id FROM nodes v LEFT JOIN sessions s ON s.session = v.session
        WHERE v.tenant = ? AND v.id = ?""",
        (context.tenant, raw),
    ).fetchone()
    if found is None:
        raise NotFound("node", id)
    n, type, session, session_raw = found
    session_id = None if session_raw is None else to_text(session_raw)
    unit.changes.append((EventType.NODE_DELETED, NodeType(type), id, raw, session_id))
    if type == NodeType.SESSION:
        _delete_session(unit, context, n, at, session_id)
        return
    neighbours = _chain_neighbours(unit, context, n) if type == NodeType.PROMPT and session else None
    values = {"n": n}
    _tell_edges(unit, context, ("src = :n", "dst = :n AND src <> :n"), values, session_id)
    ended = _delete_edges(unit, context, at, "src = :n", values) + _delete_edges(unit, context, at, "dst = :n", values)
    unit.count(context.tenant, WHOLE_TENANT, EDGES, -ended)
    _unindex(unit, context, "n = :n", values)
    _delete_nodes(unit, context, at, "n = :n", values)
    unit.count(context.tenant, WHOLE_TENANT, type, -1)
    if session:
        unit.count(context.tenant, session, type, -1)
    if neighbours is not None:
        _relink_chain(unit, context, session, n, neighbours, at, relink_edge_id, session_id)


def _delete_session(
    unit: SqliteUnitOfWork, context: WriteContext, session: int, at: int, session_id: str | None
) -> None:
    connection = unit.connection
    values = {"tenant": context.tenant, "session": session}
    counts: list[tuple[int, int]] = connection.execute(
        "SELECT kind, count FROM counts WHERE tenant = :tenant AND session = :session AND count > 0", values
    ).fetchall()  # type: ignore[assignment]
    active = connection.execute("SELECT active FROM sessions WHERE session = :session", {"session": session}).get
    _tell_nodes(unit, session, values, session_id, sum(count for _, count in counts))
    leaving, reaching = f"src IN {_OF_SESSION}", f"dst IN {_OF_SESSION}"
    _tell_edges(unit, context, (leaving, f"{reaching} AND src NOT IN {_OF_SESSION}"), values, session_id)
    ended = _delete_edges(unit, context, at, leaving, values) + _delete_edges(unit, context, at, reaching, values)
    unit.count(context.tenant, WHOLE_TENANT, EDGES, -ended)
    _unindex(unit, context, _IN_SESSION, values)
    _delete_nodes(unit, context, at, _IN_SESSION, values)
    connection.execute(
        "UPDATE sessions SET active = 0, last_prompt = NULL WHERE session = :session", {"session": session}
    )
    connection.execute("DELETE FROM counts WHERE tenant = :tenant AND session = :session", values)
    for kind, count in counts:
        unit.count(context.tenant, WHOLE_TENANT, kind, -count)
    if active:
        unit.count(context.tenant, WHOLE_TENANT, ACTIVE_SESSIONS, -1)


def _delete_edges(unit: SqliteUnitOfWork, context: WriteContext, at: int, which: str, values: dict[str, int]) -> int:
    everything = {**values, "tenant": context.tenant}
    unit.connection.execute(
        f"""INSERT INTO edge_history ({_EDGE_COLUMNS}, valid_to, closed_at)
        SELECT {_EDGE_COLUMNS}, :at, :closed_at FROM edges WHERE tenant = :tenant AND {which}""",
        {**everything, "at": at, "closed_at": context.recorded_at},
    )
    unit.connection.execute(f"DELETE FROM edges WHERE tenant = :tenant AND {which}", everything)
    return unit.connection.changes()


def _delete_nodes(unit: SqliteUnitOfWork, context: WriteContext, at: int, which: str, values: dict[str, int]) -> None:
    everything = {**values, "tenant": context.tenant}
    unit.connection.execute(
        f"{NODE_TO_HISTORY} WHERE tenant = :tenant AND {which}",
        {**everything, "at": at, "closed_at": context.recorded_at},
    )
    unit.connection.execute(f"DELETE FROM nodes WHERE tenant = :tenant AND {which}", everything)


def _unindex(unit: SqliteUnitOfWork, context: WriteContext, which: str, values: dict[str, int]) -> None:
    found: Iterator[Any] = unit.connection.execute(
        f"SELECT n, id, created_at, data FROM nodes WHERE tenant = :tenant AND {which}",
        {**values, "tenant": context.tenant},
    )
    for n, raw, created_at, stored in found:
        unindex_node(unit, context, n, to_text(raw), created_at, stored)


def unindex_node(
    unit: SqliteUnitOfWork, context: WriteContext, n: int, id: str, created_at: int, stored: bytes
) -> None:
    """Takes a node out of the attribute and the full-text index."""
    data = unit.rows.decode_data(context.name, id, stored)
    unit.connection.executemany(
        "DELETE FROM attributes WHERE tenant = ? AND name = ? AND value = ? AND created_at = ? AND n = ?",
        attribute_rows(context.tenant, n, created_at, data),
    )
    if text(data):
        unit.connection.execute("DELETE FROM texts WHERE rowid = ?", (n,))


def _tell_nodes(
    unit: SqliteUnitOfWork, session: int, values: dict[str, int], session_id: str | None, nodes: int
) -> None:
    if nodes > MAX_EVENTS:
        return
    for n, raw, type in unit.connection.execute(
        f"""SELECT n, id, type FROM nodes INDEXED BY nodes_by_session
        WHERE tenant = :tenant AND {_IN_SESSION} ORDER BY created_at, n""",
        values,
    ):
        if n != session:
            unit.changes.append((EventType.NODE_DELETED, NodeType(type), to_text(raw), raw, session_id))


def _tell_edges(
    unit: SqliteUnitOfWork,
    context: WriteContext,
    which: tuple[str, ...],
    values: dict[str, int],
    session_id: str | None,
) -> None:
    told: list[tuple[Any, ...]] = []
    for condition in which:
        told += unit.connection.execute(
            f"SELECT id, type FROM edges WHERE tenant = :tenant AND {condition} LIMIT {MAX_EVENTS + 1}",
            {**values, "tenant": context.tenant},
        ).fetchall()
    if len(told) + len(unit.changes) > MAX_EVENTS:
        return
    for raw, type in told:
        unit.changes.append((EventType.EDGE_DELETED, EdgeType(type), to_text(raw), raw, session_id))


def _chain_neighbours(unit: SqliteUnitOfWork, context: WriteContext, n: int) -> tuple[int | None, int | None]:
    """The prompt a prompt follows, and the one that follows it."""
    before = unit.connection.execute(
        "SELECT dst FROM edges WHERE tenant = ? AND src = ? AND type = ? AND chain = 1",
        (context.tenant, n, int(EdgeType.FOLLOWS)),
    ).get
    after = unit.connection.execute(
        "SELECT src FROM edges WHERE tenant = ? AND dst = ? AND type = ? AND chain = 1",
        (context.tenant, n, int(EdgeType.FOLLOWS)),
    ).get
    return before, after


def _relink_chain(
    unit: SqliteUnitOfWork,
    context: WriteContext,
    session: int,
    n: int,
    neighbours: tuple[int | None, int | None],
    at: int,
    edge_id: str,
    session_id: str | None,
) -> None:
    before, after = neighbours
    if after is None:
        unit.connection.execute(
            "UPDATE sessions SET last_prompt = ? WHERE session = ? AND last_prompt = ?",
            (before or _newest_prompt(unit, context, session), session, n),
        )
    elif before is not None:
        raw = to_bytes(edge_id)
        try:
            unit.connection.execute(
                f"INSERT INTO edges ({_EDGE_COLUMNS.removeprefix('e, ')}) VALUES (?, ?, ?, ?, ?, ?, ?, 1, NULL)",
                (context.tenant, raw, int(EdgeType.FOLLOWS), after, before, at, context.recorded_at),
            )
        except apsw.ConstraintError as error:
            raise AlreadyExists("edge", edge_id) from error
        unit.count(context.tenant, WHOLE_TENANT, EDGES, 1)
        unit.changes.append((EventType.EDGE_CREATED, EdgeType.FOLLOWS, edge_id, raw, session_id))


def _newest_prompt(unit: SqliteUnitOfWork, context: WriteContext, session: int) -> int | None:
    """Where the chain goes on when its last link was ended by hand."""
    newest = unit.connection.execute(
        """SELECT n FROM nodes INDEXED BY nodes_by_session_type WHERE tenant = ? AND session = ? AND type = ?
        ORDER BY created_at DESC, n DESC LIMIT 1""",
        (context.tenant, session, int(NodeType.PROMPT)),
    ).get
    assert newest is None or isinstance(newest, int)
    return newest
