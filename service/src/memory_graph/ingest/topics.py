"""Bodies of the topics of contracts §3 as events."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from memory_graph.ingest.event import Event
from memory_graph.ingest.telemetry.decode import from_json, from_protobuf
from memory_graph.ingest.telemetry.events import Rejected

JSON, PROTOBUF = "application/json", "application/x-protobuf"
"""Content types of bodies. A body without one is JSON."""

Decoder = Callable[[bytes, str], Sequence[Event]]
"""Takes a body and its content type (empty: not told), and yields its events. Raises `Rejected`."""


def _telemetry(body: bytes, content_type: str) -> Sequence[Event]:
    match _media_type(content_type):
        case "application/json":
            return (from_json(body),)
        case "application/x-protobuf":
            return (from_protobuf(body),)
        case _:
            raise _unreadable(content_type, f"{JSON} or {PROTOBUF}")


def _media_type(content_type: str) -> str:
    """A content type without its parameters (RFC 9110 §8.3.1)."""
    return content_type.partition(";")[0].strip().lower() or JSON


def _unreadable(content_type: str, accepted: str) -> Rejected:
    return Rejected("", "", "undecodable", f"the content-type is {content_type[:64]!r}; send {accepted}")


DECODERS: dict[str, Decoder] = {"llm-telemetry-events": _telemetry}
"""How the bodies of each topic are read."""
