"""Errors of the graph as gRPC statuses with google.rpc details."""

from __future__ import annotations

import urllib.parse

from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from memory_graph.model.errors import (
    AlreadyExists,
    FeedGap,
    GraphError,
    Invalid,
    NotFound,
    SessionClosed,
    StoreUnavailable,
    Vetoed,
    shortened,
)
from memory_graph.store.protocol import Overrun

RETRY_AFTER_S = 1
"""The retry delay that a client gets when the store is unavailable."""

MAX_MESSAGE_BYTES = 1_800
"""Longest message of a status, as gRPC encodes it (a character that is not ASCII takes six to twelve bytes)."""
MAX_DETAILS_BYTES = 4_400
"""Largest google.rpc.Status. Base64 of it and the message stay below the 8 KiB that every gRPC client takes as
metadata; of a status beyond them clients see RESOURCE_EXHAUSTED instead."""

_CODES: tuple[tuple[type[GraphError], StatusCode], ...] = (
    (NotFound, StatusCode.NOT_FOUND),
    (AlreadyExists, StatusCode.ALREADY_EXISTS),
    (Invalid, StatusCode.INVALID_ARGUMENT),
    (SessionClosed, StatusCode.FAILED_PRECONDITION),
    (Vetoed, StatusCode.FAILED_PRECONDITION),
    (FeedGap, StatusCode.OUT_OF_RANGE),
    (StoreUnavailable, StatusCode.UNAVAILABLE),
)


_PACKING_BYTES = 100
_PLAIN = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
"""Characters that gRPC does not encode in a message (percent-encoding of its HTTP/2 protocol)."""


class AnswerTooLarge(GraphError):
    """An answer, or one message of a stream, is larger than a message may be."""

    def __init__(self, size: int, max_size: int) -> None:
        super().__init__(
            f"the answer has {size:,} bytes and a message at most {max_size:,} (MAX_MESSAGE_BYTES);"
            " ask for less at a time: a smaller limit, fewer ids, less depth, StreamQuery. What a write did is stored"
        )


class ShuttingDown(GraphError):
    """A stream ends because the server does; the client reconnects and resumes after `last_event_id`."""

    def __init__(self, last_event_id: str | None) -> None:
        super().__init__(f"the server is shutting down; reconnect and resume from event {last_event_id}")
        self.last_event_id = last_event_id


class FeedInterrupted(GraphError):
    """A stream of changes ends because this server cannot see all of them; the client reconnects and resumes after
    `last_event_id`."""

    def __init__(self, reason: str, last_event_id: str | None) -> None:
        super().__init__(reason)
        self.last_event_id = last_event_id


class Draining(GraphError):
    """A stream of requests ends because the server does; everything that was accepted has been answered."""

    def __init__(self) -> None:
        super().__init__("the server is shutting down; open the stream again and send what was not acknowledged")


def status_of(error: GraphError | Overrun) -> tuple[StatusCode, str, tuple[tuple[str, str | bytes], ...]]:
    """Return code, message and trailing metadata of an error, with violations as google.rpc.BadRequest (AIP-193)."""
    if isinstance(error, Overrun):
        return StatusCode.RESOURCE_EXHAUSTED, str(error), _resume_metadata(error.last_event_id)
    if isinstance(error, Draining):
        return StatusCode.UNAVAILABLE, str(error), ()
    if isinstance(error, ShuttingDown | FeedInterrupted):
        return StatusCode.UNAVAILABLE, str(error), _resume_metadata(error.last_event_id)
    if isinstance(error, AnswerTooLarge):
        return StatusCode.RESOURCE_EXHAUSTED, str(error), ()
    code = next((code for kind, code in _CODES if isinstance(error, kind)), StatusCode.INTERNAL)
    message = _shortened_message(str(error))
    status = status_pb2.Status(code=code.value[0], message=message)
    if isinstance(error, Invalid):
        _add(status, _bad_request(error, MAX_DETAILS_BYTES - status.ByteSize() - _PACKING_BYTES))
    if isinstance(error, StoreUnavailable):
        _add(status, error_details_pb2.RetryInfo(retry_delay=Duration(seconds=RETRY_AFTER_S)))
    if not status.details:
        return code, message, ()
    return code, message, (("grpc-status-details-bin", status.SerializeToString()),)


def _bad_request(error: Invalid, max_bytes: int) -> error_details_pb2.BadRequest:
    """Return the first violations that fit into `max_bytes`, and at least one."""
    bad_request = error_details_pb2.BadRequest()
    for violation in error.violations:
        added = bad_request.field_violations.add(field=violation.field, description=violation.description)
        if bad_request.ByteSize() > max_bytes and len(bad_request.field_violations) > 1:
            del bad_request.field_violations[-1]
            break
        while bad_request.ByteSize() > max_bytes:
            added.description = shortened(added.description, len(added.description) * 3 // 4)
    return bad_request


def _shortened_message(text: str) -> str:
    """Shorten a message to MAX_MESSAGE_BYTES as gRPC encodes it."""
    max_length = MAX_MESSAGE_BYTES
    while len(urllib.parse.quote(text, _PLAIN)) > MAX_MESSAGE_BYTES:
        max_length = max_length * 3 // 4
        text = shortened(text, max_length)
    return text


def _resume_metadata(event_id: str | None) -> tuple[tuple[str, str | bytes], ...]:
    return (("last-event-id", event_id),) if event_id else ()


def _add(status: status_pb2.Status, detail: Message) -> None:
    packed = Any()
    packed.Pack(detail)
    status.details.append(packed)
