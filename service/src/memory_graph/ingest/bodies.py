"""Encodes checked events as the bodies of their topics (contract §3). Pure."""

from __future__ import annotations

import msgspec

from memory_graph.ingest.event import Event
from memory_graph.ingest.telemetry.events import TelemetryEvent


def encode_body(event: Event) -> bytes:
    """Encode an event as JSON, which decodes to it again."""
    if not isinstance(event, TelemetryEvent):
        return msgspec.json.encode(event.body)
    return msgspec.json.encode(
        {
            "event_id": event.event_id,
            "event_type": event.event_type,
            "timestamp": event.timestamp_ms,
            "metadata": event.metadata,
            "payload": event.payload,
            "trace_id": event.trace_id,
            "span_id": event.span_id,
        }
    )
