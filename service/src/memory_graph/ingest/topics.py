"""The topics of events (contract §3) and the decoders of their bodies."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from memory_graph.ingest.conversations import decode as conversations
from memory_graph.ingest.conversations.events import ENDED, PROMPT, RESPONSE, STARTED
from memory_graph.ingest.event import Event
from memory_graph.ingest.telemetry.decode import from_json, from_protobuf
from memory_graph.ingest.telemetry.events import Rejected

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
