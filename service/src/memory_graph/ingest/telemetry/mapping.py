"""Maps telemetry events to nodes and edges, and such nodes back to their events. Pure.

An event is one node with the event's id (`node_id`), so the store's unique key makes a repeated event a no-op. Its
model and its session are created on first sight; another event that it names and that is not stored yet is a stub.
"""

from __future__ import annotations

import math

from memory_graph.ingest.checks import MAX_TOKENS, total_of
from memory_graph.ingest.telemetry.events import (
    AGGREGATED,
    COMPLETE,
    DAILY,
    ERROR,
    FAILURE,
    LATENCY,
    MAX_TOKEN_COUNT,
    START,
    TOKENS,
    AggregatePayload,
    DailySummaryPayload,
    ErrorPayload,
    InvocationPayload,
    LatencyPayload,
    Payload,
    SummaryPayload,
    TelemetryEvent,
    TokensPayload,
    references,
)
from memory_graph.ingest.write_planner import WritePlanner, node_id
from memory_graph.model.kinds import EdgeType, NodeType
from memory_graph.model.mutations import CreateNode
from memory_graph.model.nodes import (
    Edge,
    ErrorData,
    InvocationData,
    MetricData,
    Node,
    NodeData,
)
from memory_graph.model.numbers import number, whole
from memory_graph.model.times import NS_PER_MS

NODE_TYPES = frozenset({NodeType.INVOCATION, NodeType.PERFORMANCE_METRIC, NodeType.ERROR})
"""The types of the nodes of telemetry events."""
STARTED = "started"
"""The status of an invocation that has begun and not ended."""

_TYPE_BY_STATUS = {STARTED: START, "success": COMPLETE, "error": ERROR, "timeout": ERROR}
"""The event type of an invocation node by its status, unless its metadata has another."""


def add(planner: WritePlanner, event: TelemetryEvent) -> int:
    """Plan an event. Returns the index of its node."""
    id = node_id(event.event_id)
    at = event.timestamp_ms * NS_PER_MS
    ends = [(kind, start or id, end or id) for kind, start, end in _ends(planner, event, at)]
    session = event.metadata.get("session_id")
    session_id = planner.session(session, at)[0] if session else None
    if session_id is not None:
        ends.append((EdgeType.BELONGS_TO, id, session_id))
    type, data = _data(event, id)
    edges = tuple(
        [Edge(id=planner.new_id(), type=kind, from_id=start, to_id=end, created_at=at) for kind, start, end in ends]
    )
    node = Node(id=id, type=type, data=data, created_at=at, updated_at=at, session_id=session_id)
    return planner.add(CreateNode(node=node, edges=edges, observed=True))


def _ends(planner: WritePlanner, event: TelemetryEvent, at: int) -> list[tuple[EdgeType, str | None, str | None]]:
    """(type, from, to) of an event's edges; None stands for the event itself."""
    payload = event.payload
    model = planner.model(payload.provider, payload.model_id, at) if payload.model_id else None
    named = references(event)
    other = planner.stub(named, at) if named else None
    ends: list[tuple[EdgeType, str | None, str | None]] = []
    if isinstance(payload, TokensPayload | LatencyPayload | SummaryPayload):
        ends.append((EdgeType.HAS_METRIC, other or model, None))
        if other is None:
            return ends
    elif other is not None:
        caused = isinstance(payload, ErrorPayload)
        ends.append((EdgeType.CAUSED_ERROR, other, None) if caused else (EdgeType.TRIGGERED_BY, None, other))
    if model is not None:
        ends.append((EdgeType.USES_MODEL, None, model))
    return ends


def _data(event: TelemetryEvent, id: str) -> tuple[NodeType, NodeData]:
    payload = event.payload
    metadata = dict(event.metadata)
    _put(metadata, trace_id=event.trace_id, span_id=event.span_id)
    if id != event.event_id:
        metadata["event_id"] = event.event_id
    if isinstance(payload, InvocationPayload):
        status = payload.status or STARTED
        if _TYPE_BY_STATUS[status] != event.event_type:
            metadata["event_type"] = event.event_type
        return NodeType.INVOCATION, InvocationData(
            model_id=payload.model_id,
            provider=payload.provider,
            status=status,
            token_count=payload.token_count,
            latency_ms=payload.latency_ms,
            metadata=metadata,
        )
    _put(metadata, model_id=payload.model_id, provider=payload.provider)
    match payload:
        case TokensPayload():
            _put(metadata, prompt_tokens=payload.prompt_tokens, completion_tokens=payload.completion_tokens)
            total = total_of(payload.prompt_tokens, payload.completion_tokens, payload.total_tokens)
            return NodeType.PERFORMANCE_METRIC, MetricData(name=TOKENS, value=total, unit="tokens", metadata=metadata)
        case LatencyPayload():
            _put(metadata, percentile=payload.percentile, operation=payload.operation)
            return NodeType.PERFORMANCE_METRIC, MetricData(
                name=LATENCY, value=payload.latency_ms, unit="ms", metadata=metadata
            )
        case AggregatePayload():
            _put(metadata, metric=payload.metric, count=payload.count, window_start_ms=payload.window_start_ms,
                 window_end_ms=payload.window_end_ms)  # fmt: skip
            return NodeType.PERFORMANCE_METRIC, MetricData(
                name=AGGREGATED, value=payload.value, unit=payload.unit, metadata=metadata
            )
        case DailySummaryPayload():
            _put(metadata, **{name: getattr(payload, name) for name in payload.__struct_fields__[2:]})
            return NodeType.PERFORMANCE_METRIC, MetricData(
                name=DAILY, value=payload.requests, unit="requests", metadata=metadata
            )
        case ErrorPayload():
            _put(metadata, caused_by_event_id=payload.caused_by_event_id)
            return NodeType.ERROR, ErrorData(
                error_type=payload.error_type, message=payload.message, severity=payload.severity, metadata=metadata
            )


def _put(metadata: dict[str, str], **fields: str | float) -> None:
    """Set fields of the event; they replace metadata of the same name."""
    for name, value in fields.items():
        if value:
            metadata[name] = str(value)


def event_of(node: Node) -> TelemetryEvent | None:
    """Return the event of a node; None if the node is of no telemetry event."""
    data = node.data
    match data:
        case InvocationData(model_id=""):
            return None  # a stub, or a pending response
        case InvocationData():
            metadata = dict(data.metadata)
            event_type = metadata.pop("event_type", _TYPE_BY_STATUS.get(data.status, COMPLETE))
            payload: Payload = InvocationPayload(
                model_id=data.model_id,
                provider=data.provider,
                token_count=max(min(data.token_count, MAX_TOKEN_COUNT), 0),
                latency_ms=data.latency_ms,
                status="" if data.status == STARTED else data.status,
            )
        case MetricData(name="llm.tokens.consumed"):
            metadata, event_type = dict(data.metadata), TOKENS
            payload = TokensPayload(
                model_id=metadata.pop("model_id", ""),
                provider=metadata.pop("provider", ""),
                prompt_tokens=_whole(metadata.pop("prompt_tokens", "")),
                completion_tokens=_whole(metadata.pop("completion_tokens", "")),
                total_tokens=_counted(data.value),
            )
        case MetricData(name="llm.latency.measured"):
            metadata, event_type = dict(data.metadata), LATENCY
            payload = LatencyPayload(
                model_id=metadata.pop("model_id", ""),
                provider=metadata.pop("provider", ""),
                latency_ms=data.value,
                percentile=_number(metadata.pop("percentile", "")),
                operation=metadata.pop("operation", ""),
            )
        case ErrorData():
            metadata, event_type = dict(data.metadata), FAILURE
            payload = ErrorPayload(
                model_id=metadata.pop("model_id", ""),
                provider=metadata.pop("provider", ""),
                error_type=data.error_type,
                message=data.message,
                severity=data.severity,
                caused_by_event_id=metadata.pop("caused_by_event_id", ""),
            )
        case _:
            return None
    return TelemetryEvent(
        event_id=metadata.pop("event_id", node.id),
        event_type=event_type,
        timestamp_ms=node.created_at // NS_PER_MS,
        payload=payload,
        trace_id=metadata.pop("trace_id", ""),
        span_id=metadata.pop("span_id", ""),
        metadata=metadata,
    )


def _whole(text: str) -> int:
    """Read a number that `_put` wrote; 0 for text that a client wrote with UpdateNode."""
    return whole(text) or 0


def _number(text: str) -> float:
    return number(text) or 0.0


def _counted(value: float) -> int:
    """Convert a metric's value to a count that fits its field."""
    return min(int(value), MAX_TOKENS) if math.isfinite(value) else 0
