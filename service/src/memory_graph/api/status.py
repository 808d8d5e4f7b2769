"""Errors of the graph as gRPC statuses with google.rpc details."""

from __future__ import annotations

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
)
from memory_graph.store.protocol import Overrun

RETRY_AFTER_SECONDS = 1
"""What a client is told to wait when the store is unavailable."""

_CODES: tuple[tuple[type[GraphError], StatusCode], ...] = (
    (NotFound, StatusCode.NOT_FOUND),
    (AlreadyExists, StatusCode.ALREADY_EXISTS),
    (Invalid, StatusCode.INVALID_ARGUMENT),
    (SessionClosed, StatusCode.FAILED_PRECONDITION),
    (Vetoed, StatusCode.FAILED_PRECONDITION),
    (FeedGap, StatusCode.OUT_OF_RANGE),
    (StoreUnavailable, StatusCode.UNAVAILABLE),
)


class ShuttingDown(GraphError):
    """A stream is ended because the server is; the client reconnects and resumes after `last_event_id`."""

    def __init__(self, last_event_id: str | None) -> None:
        super().__init__(f"the server is shutting down; reconnect and resume from event {last_event_id}")
        self.last_event_id = last_event_id


class Draining(GraphError):
    """A stream of requests is ended because the server is; everything that was accepted has been answered."""

    def __init__(self) -> None:
        super().__init__("the server is shutting down; open the stream again and send what was not acknowledged")


def status_of(error: GraphError | Overrun) -> tuple[StatusCode, str, tuple[tuple[str, str | bytes], ...]]:
    """Code, message and trailing metadata for an error. Field violations travel as google.rpc.BadRequest (AIP-193)."""
    if isinstance(error, Overrun):
        return StatusCode.RESOURCE_EXHAUSTED, str(error), _resume(error.last_event_id)
    if isinstance(error, Draining):
        return StatusCode.UNAVAILABLE, str(error), ()
    if isinstance(error, ShuttingDown):
        return StatusCode.UNAVAILABLE, str(error), _resume(error.last_event_id)
    code = next((code for kind, code in _CODES if isinstance(error, kind)), StatusCode.INTERNAL)
    details: list[Message] = []
    if isinstance(error, Invalid):
        details.append(
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(
                        field=violation.field, description=violation.description
                    )
                    for violation in error.violations
                ]
            )
        )
    if isinstance(error, StoreUnavailable):
        details.append(error_details_pb2.RetryInfo(retry_delay=Duration(seconds=RETRY_AFTER_SECONDS)))
    if not details:
        return code, str(error), ()
    return code, str(error), (("grpc-status-details-bin", _packed(code, str(error), details)),)


def _resume(event_id: str | None) -> tuple[tuple[str, str | bytes], ...]:
    return (("last-event-id", event_id),) if event_id else ()


def _packed(code: StatusCode, message: str, details: list[Message]) -> bytes:
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        packed = Any()
        packed.Pack(detail)
        status.details.append(packed)
    packed_status: bytes = status.SerializeToString()
    return packed_status
