"""Events of any kind, their topics (contract §3), and the codecs of their bodies."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from memory_graph.ingest.conversations import decode as conversations
from memory_graph.ingest.conversations.events import ENDED, PROMPT, RESPONSE, STARTED, ConversationEvent
from memory_graph.ingest.telemetry.decode import from_json, from_protobuf
from memory_graph.ingest.telemetry.events import Rejected, TelemetryEvent

Event = TelemetryEvent | ConversationEvent
"""Each event has an event_id, an event_type and a key: events of one key are stored in their order of arrival."""

JSON, PROTOBUF = "application/json", "application/x-protobuf"
"""Content types of bodies. A body without one is JSON."""

Decoder = Callable[[bytes, str], Sequence[Event]]
"""Decodes a body with its content type (empty if unknown) to events. Raises `Rejected`."""


def _telemetry(body: bytes, content_type: str) -> Sequence[Event]:
    match _media_type(content_type):
        case "application/json":
            return (from_json(body),)
        case "application/x-protobuf":
            return (from_protobuf(body),)
        case _:
            raise _unsupported(content_type, f"{JSON} or {PROTOBUF}")


def _json_alone(read: Callable[[bytes], Event]) -> Decoder:
    def decode(body: bytes, content_type: str) -> Sequence[Event]:
        if _media_type(content_type) != JSON:
            raise _unsupported(content_type, JSON)
        return (read(body),)

    return decode


def _media_type(content_type: str) -> str:
    """Strip the parameters of a content type (RFC 9110 §8.3.1)."""
    return content_type.partition(";")[0].strip().lower() or JSON


def _unsupported(content_type: str, accepted: str) -> Rejected:
    return Rejected("", "", "undecodable", f"the content-type is {content_type[:64]!r}; send {accepted}")


TELEMETRY, PROMPTS, RESPONSES, SESSIONS = (
    "llm-telemetry-events",
    "llm.prompts.v1",
    "llm.responses.v1",
    "llm.sessions.v1",
)

DECODERS: dict[str, Decoder] = {
    TELEMETRY: _telemetry,
    PROMPTS: _json_alone(conversations.decode_prompt),
    RESPONSES: _json_alone(conversations.decode_response),
    SESSIONS: _json_alone(conversations.decode_session),
}
"""The decoder of each topic."""


def topic_of(event_type: str) -> str:
    """Return the topic of an event type."""
    return {PROMPT: PROMPTS, RESPONSE: RESPONSES, STARTED: SESSIONS, ENDED: SESSIONS}.get(event_type, TELEMETRY)


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
