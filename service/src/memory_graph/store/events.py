"""The events of a commit as fixed records, in every store the same.

A record is 34 bytes: event type, kind, the subject's id, the session's id (zeros: none).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from memory_graph.model.errors import Invalid, Violation
from memory_graph.model.kinds import EdgeType, EventType, NodeType
from memory_graph.model.mutations import Event
from memory_graph.model.numbers import whole
from memory_graph.store.ids import to_bytes, to_text

MAX_EVENTS = 10_000
"""Up to this many ends are named one by one in the change feed. The end of a node with more is told by its own event
alone, which stands for everything that ended with it."""

Change = tuple[EventType, NodeType | EdgeType, str, str | None]
"""An event before its commit has a number: type, kind, subject, session."""

_RECORD = 34
_NO_SESSION = bytes(16)
_OF_EDGES = (EventType.EDGE_CREATED, EventType.EDGE_DELETED)
_EVENTS = {int(type): type for type in EventType}
_NODE_NAMES = ["", *(type.name for type in NodeType)]
_EDGE_NAMES = ["", *(type.name for type in EdgeType)]


def encode(changes: Iterable[Change], raw: Mapping[str, bytes] | None = None) -> bytes:
    """The events of a commit as a store keeps them. raw: ids whose bytes are known already."""
    raw = raw or {}
    sessions: dict[str | None, bytes] = {None: _NO_SESSION}
    records = []
    for event, kind, subject, session in changes:
        session_raw = sessions.get(session)
        if session_raw is None:
            session_raw = sessions[session] = to_bytes(session or "")
        records.append(bytes((event, kind)) + (raw.get(subject) or to_bytes(subject)) + session_raw)
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
            for index, (event, kind, subject, session) in enumerate(changes)
        ]
    )


def decode(seq: int, at: int, stored: bytes) -> Iterator[Event]:
    """The events of a commit as they were kept."""
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


def decode_after(seq: int, at: int, stored: bytes, after: tuple[int, int], session: str | None) -> list[Event]:
    """The events of a commit that come after a position in the feed, of one session if one is named."""
    return [
        event
        for index, event in enumerate(decode(seq, at, stored))
        if (seq, index) > after and session in (None, event.session_id)
    ]


def position(event_id: str) -> tuple[int, int]:
    """(commit, index) of an event id. Raises `Invalid` for other text."""
    seq, _, index = event_id.partition(".")
    commit, offset = whole(seq), whole(index)
    if commit is None or offset is None or commit < 0 or offset < 0:
        raise Invalid(
            Violation("after", f"{event_id[:64]!r} is no event id; give the id of an event as it was received")
        )
    return commit, offset
