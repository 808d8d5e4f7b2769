"""The checks of requests of TelemetryStream. The rules of the events themselves are in `ingest.telemetry.events`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from google.protobuf.message import DecodeError

from memory_graph.gen.llm.observatory.v1 import telemetry_stream_pb2 as pb
from memory_graph.ingest.telemetry.decode import split_request
from memory_graph.ingest.telemetry.events import PAYLOADS, TelemetryEvent
from memory_graph.model.errors import Invalid, Violation

MAX_MESSAGE_EVENTS = 10_000
"""Most events of one message: each gets an answer of its own, also an empty one."""
DEFAULT_BUFFER_SIZE, MAX_BUFFER_SIZE = 1_000, 10_000
"""Events that a subscriber may lag behind."""
_METADATA = "metadata."
_FIELDS: dict[str, Callable[[TelemetryEvent], str]] = {
    "model_id": lambda event: event.payload.model_id,
    "provider": lambda event: event.payload.provider,
    "trace_id": lambda event: event.trace_id,
    "span_id": lambda event: event.span_id,
}

EventPredicate = Callable[[TelemetryEvent], bool]


def message_events(raw: bytes) -> Sequence[pb.Event | bytes]:
    """Decode the events of a message. Where one of them breaks it, return the bytes of each instead."""
    try:
        events: Sequence[pb.Event | bytes] = pb.EventRequest.FromString(raw).events
    except DecodeError as error:
        events = split_request(raw)
        if not events:
            raise Invalid(Violation("request", f"is no EventRequest message: {error}")) from None
    if len(events) > MAX_MESSAGE_EVENTS:
        raise Invalid(Violation("events", f"are {len(events):,}; send at most {MAX_MESSAGE_EVENTS:,} in a message"))
    return events


def parse_subscription(request: pb.SubscriptionRequest) -> tuple[EventPredicate, int]:
    """Return the filter of a subscription and the size of its buffer. Raises `Invalid`."""
    violations = [
        Violation(f"event_types[{index}]", f"{name[:64]!r} is no event type; use one of {', '.join(PAYLOADS)}")
        for index, name in enumerate(request.event_types)
        if name not in PAYLOADS
    ]
    violations += [
        Violation(f"filters[{key[:64]}]", f"is no filter key; use one of {', '.join(_FIELDS)} or metadata.<key>")
        for key in request.filters
        if key not in _FIELDS and not key.startswith(_METADATA)
    ]
    if not 0 <= request.buffer_size <= MAX_BUFFER_SIZE:
        violations.append(Violation("buffer_size", f"is {request.buffer_size}; must be from 0 to {MAX_BUFFER_SIZE:,}"))
    if violations:
        raise Invalid(*violations)
    types = frozenset(request.event_types)
    filters = tuple(request.filters.items())

    def matches(event: TelemetryEvent) -> bool:
        return (not types or event.event_type in types) and all(_value(event, key) == value for key, value in filters)

    return matches, request.buffer_size or DEFAULT_BUFFER_SIZE


def _value(event: TelemetryEvent, key: str) -> str | None:
    field = _FIELDS.get(key)
    return field(event) if field is not None else event.metadata.get(key.removeprefix(_METADATA))
