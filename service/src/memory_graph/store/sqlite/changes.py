"""The durable half of the change feed: a row per commit, its events as fixed records.

A record is 34 bytes: event type, kind, the subject's id, the session's id (zeros: none).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import apsw

from memory_graph.model.errors import FeedGap, Invalid, Violation
from memory_graph.model.kinds import EdgeType, EventType, NodeType
from memory_graph.model.mutations import Event
from memory_graph.store.sqlite.ids import to_bytes, to_text
from memory_graph.store.sqlite.unit import Change

_RECORD = 34
_NO_SESSION = bytes(16)
_OF_EDGES = (EventType.EDGE_CREATED, EventType.EDGE_DELETED)
_EVENTS = {int(type): type for type in EventType}
_NODE_NAMES = ["", *(type.name for type in NodeType)]
_EDGE_NAMES = ["", *(type.name for type in EdgeType)]


def encode(changes: Iterable[Change]) -> bytes:
    """The events of a commit as `changes.events` holds them."""
    sessions: dict[str | None, bytes] = {None: _NO_SESSION}
    records = []
    for event, kind, _, raw, session in changes:
        of = sessions.get(session)
        if of is None:
            of = sessions[session] = to_bytes(session or "")
        records.append(bytes((event, kind)) + raw + of)
    return b"".join(records)


def events_of(seq: int, at: int, changes: Iterable[Change]) -> tuple[Event, ...]:
    """The events of a commit as its writer gets them."""
    return tuple(
        [
            Event(
                id=f"{seq}.{index}",
                type=event,
                at=at,
                subject_id=subject,
                kind=(_EDGE_NAMES if event in _OF_EDGES else _NODE_NAMES)[kind],
                session_id=session,
            )
            for index, (event, kind, subject, _, session) in enumerate(changes)
        ]
    )


def decode(seq: int, at: int, stored: bytes) -> Iterator[Event]:
    """The events of a row of `changes`."""
    for index in range(len(stored) // _RECORD):
        record = stored[index * _RECORD : (index + 1) * _RECORD]
        type = _EVENTS[record[0]]
        session = record[18:]
        yield Event(
            id=f"{seq}.{index}",
            type=type,
            at=at,
            subject_id=to_text(record[2:18]),
            kind=(_EDGE_NAMES if type in _OF_EDGES else _NODE_NAMES)[record[1]],
            session_id=None if session == _NO_SESSION else to_text(session),
        )


def position(event_id: str) -> tuple[int, int]:
    """(commit, index) of an event id. Raises `Invalid` for other text."""
    seq, dot, index = event_id.partition(".")
    if not (dot and seq.isascii() and seq.isdecimal() and index.isascii() and index.isdecimal() and len(seq) < 19):
        raise Invalid(
            Violation("after", f"{event_id[:64]!r} is no event id; give the id of an event as it was received")
        )
    return int(seq), int(index)


def read(
    connection: apsw.Connection, tenant: int, floor: int, after: str | None, limit: int, session: str | None
) -> list[Event]:
    """Events after an event id, whole commits, until there are at least `limit`. Raises `FeedGap`, `Invalid`."""
    seq, index = (0, 0) if after is None else position(after)
    newest = connection.execute("SELECT max(seq) FROM changes").get or 0
    if after is not None and (seq <= floor or seq > newest):
        raise FeedGap(after)
    found: list[Event] = []
    for number, at, stored in connection.execute(
        """SELECT c.seq, c.recorded_at, c.events FROM changes c INDEXED BY changes_by_tenant
        WHERE c.tenant = ?1 AND c.seq >= ?2 AND (c.session IS NULL OR ?3 IS NULL OR c.session =
          (SELECT s.session FROM sessions s WHERE s.session = c.session AND s.id = ?3))
        ORDER BY c.seq""",
        (tenant, seq, None if session is None else to_bytes(session)),
    ):
        events = decode(number, at, stored)
        for place, event in enumerate(events):
            if (number > seq or place > index) and session in (None, event.session_id):
                found.append(event)
        if len(found) >= limit:
            break
    return found


def trim(connection: apsw.Connection, newest: int, keep: int) -> None:
    """Drops all but the `keep` newest commits, remembering for each tenant up to where."""
    last_dropped = newest - keep
    oldest = connection.execute("SELECT min(seq) FROM changes").get
    if not isinstance(oldest, int) or last_dropped - oldest < max(keep // 10, 1):
        return
    for tenant, floor in connection.execute(
        "SELECT tenant, max(seq) FROM changes WHERE seq <= ? GROUP BY tenant", (last_dropped,)
    ).fetchall():
        connection.execute("UPDATE tenants SET feed_floor = ? WHERE tenant = ?", (floor, tenant))
    connection.execute("DELETE FROM changes WHERE seq <= ?", (last_dropped,))
