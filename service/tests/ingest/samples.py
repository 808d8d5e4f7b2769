"""Events for tests."""

from __future__ import annotations

import json

from memory_graph.gen.llm.observatory.v1 import telemetry_stream_pb2 as pb
from memory_graph.ingest.telemetry.events import COMPLETE, FAILURE, LATENCY, START, TOKENS

AT_MS = 1_700_000_000_123

PAYLOADS = {
    COMPLETE: {"model_id": "large", "provider": "acme", "token_count": 42, "latency_ms": 12.5, "status": "success"},
    TOKENS: {"model_id": "large", "provider": "acme", "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
    LATENCY: {"model_id": "large", "provider": "acme", "latency_ms": 9.5, "percentile": 99.0, "operation": "chat"},
    FAILURE: {"model_id": "large", "provider": "acme", "error_type": "rate_limit", "message": "too many",
              "severity": "warning", "caused_by_event_id": "e-0"},
    START: {"model_id": "large", "provider": "acme"},
}  # fmt: skip
_ARMS = {
    COMPLETE: ("invocation", pb.InvocationEvent),
    START: ("invocation", pb.InvocationEvent),
    TOKENS: ("tokens", pb.TokenEvent),
    LATENCY: ("latency", pb.LatencyEvent),
    FAILURE: ("error", pb.ErrorEvent),
}


def message(event_id: str, event_type: str = COMPLETE, *, at: int = AT_MS, metadata=None, **payload) -> pb.Event:
    """An event as a stream sends it."""
    arm, kind = _ARMS[event_type]
    return pb.Event(
        event_id=event_id,
        event_type=event_type,
        timestamp_ms=at,
        metadata=metadata or {},
        payload=pb.EventPayload(**{arm: kind(**{**PAYLOADS[event_type], **payload})}),
        trace_id="trace-1",
        span_id="span-1",
    )


def body(event_id: str, event_type: str = COMPLETE, **changed: object) -> bytes:
    """The same as JSON, with top-level fields changed."""
    event = {
        "event_id": event_id,
        "event_type": event_type,
        "timestamp": AT_MS,
        "metadata": {},
        "payload": PAYLOADS.get(event_type, {}),
        "trace_id": "trace-1",
        "span_id": "span-1",
    }
    return json.dumps({**event, **changed}).encode()
