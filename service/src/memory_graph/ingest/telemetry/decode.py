"""Decodes telemetry events from protobuf (contract §2) and JSON (contract §3). Pure."""

from __future__ import annotations

from typing import Any

import msgspec
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from memory_graph.gen.llm.observatory.v1 import telemetry_stream_pb2 as pb
from memory_graph.ingest.json_text import (
    TOO_DEEP,
    as_text,
    is_wrong_object,
    lenient_decoder,
    string_fields,
    syntax_problem,
    too_deep,
    without_bom,
)
from memory_graph.ingest.telemetry.events import (
    ARMS,
    BATCH_PAYLOADS,
    MAX_EVENT_BYTES,
    ErrorPayload,
    InvocationPayload,
    LatencyPayload,
    Payload,
    Rejected,
    TelemetryEvent,
    TokensPayload,
    check_type,
    validated,
)
from memory_graph.ingest.timestamps import milliseconds


class _TelemetryBody(msgspec.Struct):
    event_id: str
    event_type: str
    timestamp: int | float | str
    payload: msgspec.Raw
    metadata: dict[str, str | int | float | bool | None] | None = None
    trace_id: str | None = None
    span_id: str | None = None


_body = msgspec.json.Decoder(_TelemetryBody)
_payloads = {kind: lenient_decoder(kind) for kind in (*ARMS, *BATCH_PAYLOADS.values())}


def from_json(body: bytes, *, batch: bool = False) -> TelemetryEvent:
    """Decode and check an event of `llm-telemetry-events`, or of a batch. Raises `Rejected`.

    Numbers are those of proto3 JSON: null is absent, 7.0 and "7" are 7."""
    body = without_bom(body)
    if len(body) > MAX_EVENT_BYTES:
        raise _too_large(*_event_id_and_type(body), len(body))
    if too_deep(body):
        raise Rejected(*_event_id_and_type(body), "invalid", f"the event {TOO_DEEP}")
    try:
        event_body = _body.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _undecodable(body, error) from None
    id, event_type = event_body.event_id, event_body.event_type
    kind = check_type(id, event_type, batch=batch)
    try:
        payload = _payloads[kind](event_body.payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected(id, event_type, "invalid", f"the payload does not fit {event_type}: {error}") from None
    return validated(
        TelemetryEvent(
            event_id=id,
            event_type=event_type,
            timestamp_ms=_milliseconds(event_body),
            payload=payload,
            metadata={key: as_text(value) for key, value in (event_body.metadata or {}).items()},
            trace_id=event_body.trace_id or "",
            span_id=event_body.span_id or "",
        )
    )


def from_protobuf(body: bytes) -> TelemetryEvent:
    """Decode and check an event of content-type application/x-protobuf. Raises `Rejected`."""
    try:
        event = pb.Event.FromString(body)
    except DecodeError:
        sentence = "it is no protobuf Event of llm.observatory.v1, or has text that is not UTF-8"
        raise Rejected(event_id(body), "", "undecodable", sentence) from None
    return from_message(event)


def split_request(request: bytes) -> list[bytes]:
    """Split an EventRequest into its events without decoding them; empty if it is no message."""
    return _field(request, pb.EventRequest.EVENTS_FIELD_NUMBER)


def event_id(event: pb.Event | bytes) -> str:
    """Return the id of an event, also of one that does not decode; empty if it has none."""
    if not isinstance(event, bytes):
        return event.event_id
    values = _field(event, pb.Event.EVENT_ID_FIELD_NUMBER)
    return values[-1].decode(errors="replace") if values else ""


def _field(message: bytes, number: int) -> list[bytes]:
    try:
        fields: Any = UnknownFieldSet(Empty.FromString(message))
    except DecodeError:
        return []
    return [field.data for field in fields if field.field_number == number and isinstance(field.data, bytes)]


def from_message(event: pb.Event) -> TelemetryEvent:
    """Check an event of a stream. Raises `Rejected`."""
    id, event_type = event.event_id, event.event_type
    kind = check_type(id, event_type)
    if event.ByteSize() > MAX_EVENT_BYTES:
        raise _too_large(id, event_type, event.ByteSize())
    arm = event.payload.WhichOneof("payload")
    if arm != ARMS[kind]:
        sentence = f"{event_type} carries payload.{ARMS[kind]}, not {f'payload.{arm}' if arm else 'none'}"
        raise Rejected(id, event_type, "invalid", sentence)
    return validated(
        TelemetryEvent(
            event_id=id,
            event_type=event_type,
            timestamp_ms=event.timestamp_ms,
            payload=_READERS[kind](getattr(event.payload, arm)),
            metadata=dict(event.metadata),
            trace_id=event.trace_id,
            span_id=event.span_id,
        )
    )


def _invocation(sent: pb.InvocationEvent) -> Payload:
    return InvocationPayload(
        model_id=sent.model_id,
        provider=sent.provider,
        token_count=sent.token_count,
        latency_ms=sent.latency_ms,
        status=sent.status,
    )


def _tokens(sent: pb.TokenEvent) -> Payload:
    return TokensPayload(
        model_id=sent.model_id,
        provider=sent.provider,
        prompt_tokens=sent.prompt_tokens,
        completion_tokens=sent.completion_tokens,
        total_tokens=sent.total_tokens,
    )


def _latency(sent: pb.LatencyEvent) -> Payload:
    return LatencyPayload(
        model_id=sent.model_id,
        provider=sent.provider,
        latency_ms=sent.latency_ms,
        percentile=sent.percentile,
        operation=sent.operation,
    )


def _failure(sent: pb.ErrorEvent) -> Payload:
    return ErrorPayload(
        model_id=sent.model_id,
        provider=sent.provider,
        error_type=sent.error_type,
        message=sent.message,
        severity=sent.severity,
        caused_by_event_id=sent.caused_by_event_id,
    )


_READERS: dict[type[Payload], Any] = {
    InvocationPayload: _invocation,
    TokensPayload: _tokens,
    LatencyPayload: _latency,
    ErrorPayload: _failure,
}


def _too_large(event_id: str, event_type: str, size: int) -> Rejected:
    sentence = f"the event is {size:,} bytes; at most {MAX_EVENT_BYTES:,} are accepted"
    return Rejected(event_id, event_type, "invalid", sentence)


def _undecodable(body: bytes, error: Exception) -> Rejected:
    """Return the rejection of a body that does not decode, with id and type if they can be read."""
    if is_wrong_object(body, error):
        return Rejected(*_event_id_and_type(body), "invalid", f"the event is not as it should be: {error}")
    return Rejected(
        *_event_id_and_type(body), "undecodable", f"the body is no JSON event: {syntax_problem(body, error)}"
    )


def _event_id_and_type(body: bytes) -> tuple[str, str]:
    id, event_type = string_fields(body, "event_id", "event_type")
    return id, event_type


def _milliseconds(body: _TelemetryBody) -> int:
    try:
        return milliseconds(body.timestamp)
    except ValueError:
        sentence = "the timestamp is neither ISO 8601 nor milliseconds since 1970-01-01T00:00:00Z"
        raise Rejected(body.event_id, body.event_type, "invalid", sentence) from None
