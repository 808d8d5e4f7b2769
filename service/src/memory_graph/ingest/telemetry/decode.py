"""Bodies as events: protobuf (contracts §2) and JSON (contracts §3). Pure."""

from __future__ import annotations

from typing import Any

import msgspec
from google.protobuf.message import DecodeError

from memory_graph.gen.llm.observatory.v1 import telemetry_stream_pb2 as pb
from memory_graph.ingest.telemetry.events import (
    ARMS,
    BATCH_PAYLOADS,
    MAX_EVENT_BYTES,
    Failure,
    Invocation,
    Latency,
    Payload,
    Rejected,
    TelemetryEvent,
    Tokens,
    check_type,
    checked,
)
from memory_graph.ingest.timestamps import milliseconds


class _Body(msgspec.Struct):
    event_id: str
    event_type: str
    timestamp: int | float | str
    payload: msgspec.Raw
    metadata: dict[str, str | int | float | bool | None] | None = None
    trace_id: str | None = None
    span_id: str | None = None


class _Named(msgspec.Struct):
    """What can be read of a body that is not right."""

    event_id: str = ""
    event_type: str = ""


_body = msgspec.json.Decoder(_Body)
_named = msgspec.json.Decoder(_Named)
_payloads = {kind: msgspec.json.Decoder(kind) for kind in (*ARMS, *BATCH_PAYLOADS.values())}


def from_json(body: bytes | msgspec.Raw, *, batch: bool = False) -> TelemetryEvent:
    """An event of `llm-telemetry-events`, or of a batch. Raises `Rejected`."""
    _refuse_large("", "", memoryview(body).nbytes)
    try:
        found = _body.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _undecodable(body, error) from None
    event_id, event_type = found.event_id, found.event_type
    kind = check_type(event_id, event_type, batch=batch)
    try:
        payload = _payloads[kind].decode(found.payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected(event_id, event_type, "invalid", f"the payload does not fit {event_type}: {error}") from None
    return checked(
        TelemetryEvent(
            event_id=event_id,
            event_type=event_type,
            timestamp_ms=_milliseconds(found),
            payload=payload,
            metadata={key: _text(value) for key, value in (found.metadata or {}).items()},
            trace_id=found.trace_id or "",
            span_id=found.span_id or "",
        )
    )


def from_protobuf(body: bytes) -> TelemetryEvent:
    """An event of content-type application/x-protobuf. Raises `Rejected`."""
    try:
        return from_message(pb.Event.FromString(body))
    except DecodeError:
        raise Rejected("", "", "undecodable", "the body is no protobuf Event of llm.observatory.v1") from None


def from_message(event: pb.Event) -> TelemetryEvent:
    """An event of a stream. Raises `Rejected`."""
    event_id, event_type = event.event_id, event.event_type
    kind = check_type(event_id, event_type)
    _refuse_large(event_id, event_type, event.ByteSize())
    arm = event.payload.WhichOneof("payload")
    if arm != ARMS[kind]:
        sentence = f"{event_type} carries payload.{ARMS[kind]}, not {f'payload.{arm}' if arm else 'none'}"
        raise Rejected(event_id, event_type, "invalid", sentence)
    return checked(
        TelemetryEvent(
            event_id=event_id,
            event_type=event_type,
            timestamp_ms=event.timestamp_ms,
            payload=_READERS[kind](getattr(event.payload, arm)),
            metadata=dict(event.metadata),
            trace_id=event.trace_id,
            span_id=event.span_id,
        )
    )


def _invocation(sent: pb.InvocationEvent) -> Payload:
    return Invocation(
        model_id=sent.model_id,
        provider=sent.provider,
        token_count=sent.token_count,
        latency_ms=sent.latency_ms,
        status=sent.status,
    )


def _tokens(sent: pb.TokenEvent) -> Payload:
    return Tokens(
        model_id=sent.model_id,
        provider=sent.provider,
        prompt_tokens=sent.prompt_tokens,
        completion_tokens=sent.completion_tokens,
        total_tokens=sent.total_tokens,
    )


def _latency(sent: pb.LatencyEvent) -> Payload:
    return Latency(
        model_id=sent.model_id,
        provider=sent.provider,
        latency_ms=sent.latency_ms,
        percentile=sent.percentile,
        operation=sent.operation,
    )


def _failure(sent: pb.ErrorEvent) -> Payload:
    return Failure(
        model_id=sent.model_id,
        provider=sent.provider,
        error_type=sent.error_type,
        message=sent.message,
        severity=sent.severity,
        caused_by_event_id=sent.caused_by_event_id,
    )


_READERS: dict[type[Payload], Any] = {Invocation: _invocation, Tokens: _tokens, Latency: _latency, Failure: _failure}


def _refuse_large(event_id: str, event_type: str, size: int) -> None:
    if size > MAX_EVENT_BYTES:
        sentence = f"the event is {size:,} bytes; at most {MAX_EVENT_BYTES:,} are accepted"
        raise Rejected(event_id, event_type, "invalid", sentence)


def _undecodable(body: bytes | msgspec.Raw, error: Exception) -> Rejected:
    try:
        named = _named.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Rejected("", "", "undecodable", f"the body is no JSON event: {error}")
    return Rejected(named.event_id, named.event_type, "invalid", f"the event is not as it should be: {error}")


def _milliseconds(body: _Body) -> int:
    try:
        return milliseconds(body.timestamp)
    except ValueError:
        sentence = "the timestamp is neither ISO 8601 nor milliseconds since 1970-01-01T00:00:00Z"
        raise Rejected(body.event_id, body.event_type, "invalid", sentence) from None


def _text(value: str | float | bool | None) -> str:
    """A metadata value as JSON writes it, a string as it is."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
