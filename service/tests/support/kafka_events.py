"""Events by number: the same number is the same event, always."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator

from ingest.samples import body

SESSIONS = 200
EDGES_EACH = 2
"""To its model, and to its session."""
_SPACE = uuid.UUID("5e551041-0000-4000-8000-000000000000")


def event_id(number: int) -> str:
    return str(uuid.UUID(int=_SPACE.int + number))


def plain(number: int) -> str:
    """The id as `Stored` has it."""
    return event_id(number).replace("-", "")


def key(number: int) -> bytes:
    return b"session-%d" % (number % SESSIONS)


def record(number: int) -> tuple[bytes, bytes]:
    """Key and JSON body."""
    return key(number), body(event_id(number), metadata={"session_id": f"session-{number % SESSIONS}"})


def quick_records(numbers: Iterable[int]) -> Iterator[tuple[bytes, bytes]]:
    """The same for many, without making each anew."""
    template = body("EVENT", metadata={"session_id": "SESSION"})
    for number in numbers:
        yield key(number), template.replace(b"EVENT", event_id(number).encode(), 1).replace(b"SESSION", key(number), 1)
