"""Events as nodes and edges, and nodes as the events they were. Pure: ids for edges are given.

An event is one node, its id the event's (`node_id`): so the store's unique key is what makes a repeated event a no-op.
The model and the session it names are made on first sight; an event it names that is not known yet is a stub.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import msgspec

from memory_graph.ingest.telemetry.events import (
    COMPLETE,
    ERROR,
    FAILURE,
    LATENCY,
    NS_PER_MS,
    START,
    TOKENS,
    Failure,
    Invocation,
    Latency,
    Payload,
    TelemetryEvent,
    Tokens,
    references,
)
from memory_graph.model.ids import canonical
from memory_graph.model.kinds import EdgeType, NodeType
from memory_graph.model.mutations import CreateNode
from memory_graph.model.nodes import (
    Edge,
    ErrorData,
    InvocationData,
    MetricData,
    ModelData,
    Node,
    NodeData,
    SessionData,
    stub,
)

NODE_TYPES = frozenset({NodeType.INVOCATION, NodeType.PERFORMANCE_METRIC, NodeType.ERROR})
"""What events become."""
STARTED = "started"
"""Status of an invocation that has begun and said nothing more."""

_encode = msgspec.msgpack.Encoder().encode
_TYPE_BY_STATUS = {STARTED: START, "success": COMPLETE, "error": ERROR, "timeout": ERROR}
"""The type of an invocation event where its node does not say it."""


class Plan(msgspec.Struct, frozen=True):
    """Creations that store events. places[i]: where event i stands among them."""

    creations: tuple[CreateNode, ...]
    places: tuple[int, ...]


def node_id(event_id: str) -> str:
    """The id of an event's node: the event's own where that is a UUID, else one made of it alone."""
    return canonical(event_id) or derived_id("event", event_id)


def derived_id(kind: str, *names: str) -> str:
    """The same UUID for the same names, always and everywhere (UUIDv8, RFC 9562 §5.8)."""
    raw = bytearray(hashlib.blake2b(_encode((kind, names)), digest_size=16).digest())
    raw[6] = raw[6] & 0x0F | 0x80
    raw[8] = raw[8] & 0x3F | 0x80
    digits = raw.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def plan(events: Sequence[TelemetryEvent], new_id: Callable[[], str]) -> Plan:
    """The creations for events of one tenant: causes first, and every node before an edge to it."""
    planner = _Planner(new_id)
    ids = [node_id(event.event_id) for event in events]
    places = [0] * len(events)
    for index in _causes_first(events, ids):
        places[index] = planner.add(events[index], ids[index])
    return Plan(tuple(planner.creations), tuple(places))


def _causes_first(events: Sequence[TelemetryEvent], ids: Sequence[str]) -> list[int]:
    first = {id: index for index, id in reversed(list(enumerate(ids)))}
    order: list[int] = []
    visited: set[int] = set()
    for index in range(len(events)):
        chain: list[int] = []
        following: int | None = index
        while following is not None and following not in visited:
            visited.add(following)
            chain.append(following)
            named = references(events[following])
            following = first.get(node_id(named)) if named else None
        order += reversed(chain)
    return order


class _Planner:
    """The creations of one write, made once each."""

    def __init__(self, new_id: Callable[[], str]) -> None:
        self.creations: list[CreateNode] = []
        self._new_id = new_id
        self._made: set[str] = set()
        self._models: dict[tuple[str, str], str] = {}

    def add(self, event: TelemetryEvent, id: str) -> int:
        at = event.timestamp_ms * NS_PER_MS
        ends = [(kind, start or id, end or id) for kind, start, end in self._ends(event, at)]
        session = event.metadata.get("session_id")
        session_id = self._session(session, at) if session else None
        if session_id is not None:
            ends.append((EdgeType.BELONGS_TO, id, session_id))
        type, data = _data(event, id)
        edges = tuple(
            [Edge(id=self._new_id(), type=kind, from_id=start, to_id=end, created_at=at) for kind, start, end in ends]
        )
        node = Node(id=id, type=type, data=data, created_at=at, updated_at=at, session_id=session_id)
        self._made.add(id)
        self.creations.append(CreateNode(node=node, edges=edges, observed=True))
        return len(self.creations) - 1

    def _ends(self, event: TelemetryEvent, at: int) -> list[tuple[EdgeType, str | None, str | None]]:
        """(type, from, to) of an event's edges; None stands for the event itself."""
        payload = event.payload
        model = self._model(payload, at) if payload.model_id else None
        named = references(event)
        other = self._event(named, at) if named else None
        ends: list[tuple[EdgeType, str | None, str | None]] = []
        if isinstance(payload, Tokens | Latency):
            ends.append((EdgeType.HAS_METRIC, other or model, None))
            if other is None:
                return ends
        elif other is not None:
            caused = isinstance(payload, Failure)
            ends.append((EdgeType.CAUSED_ERROR, other, None) if caused else (EdgeType.TRIGGERED_BY, None, other))
        if model is not None:
            ends.append((EdgeType.USES_MODEL, None, model))
        return ends

    def _model(self, payload: Payload, at: int) -> str:
        key = payload.provider, payload.model_id
        id = self._models.get(key)
        if id is None:
            id = self._models[key] = derived_id("model", *key)
            data = ModelData(model_id=payload.model_id, provider=payload.provider)
            self._once(Node(id=id, type=NodeType.MODEL, data=data, created_at=at, updated_at=at))
        return id

    def _session(self, name: str, at: int) -> str:
        known = canonical(name)
        id = known or derived_id("session", name)
        data = SessionData(metadata={} if known else {"session_id": name})
        return self._once(Node(id=id, type=NodeType.SESSION, data=data, created_at=at, updated_at=at, session_id=id))

    def _event(self, event_id: str, at: int) -> str:
        return self._once(stub(node_id(event_id), at))

    def _once(self, node: Node) -> str:
        if node.id not in self._made:
            self._made.add(node.id)
            self.creations.append(CreateNode(node=node, observed=True))
        return node.id


def _data(event: TelemetryEvent, id: str) -> tuple[NodeType, NodeData]:
    payload = event.payload
    metadata = dict(event.metadata)
    _put(metadata, trace_id=event.trace_id, span_id=event.span_id)
    if id != event.event_id:
        metadata["event_id"] = event.event_id
    if isinstance(payload, Invocation):
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
        case Tokens():
            _put(metadata, prompt_tokens=payload.prompt_tokens, completion_tokens=payload.completion_tokens)
            total = payload.total_tokens or payload.prompt_tokens + payload.completion_tokens
            return NodeType.PERFORMANCE_METRIC, MetricData(name=TOKENS, value=total, unit="tokens", metadata=metadata)
        case Latency():
            _put(metadata, percentile=payload.percentile, operation=payload.operation)
            return NodeType.PERFORMANCE_METRIC, MetricData(
                name=LATENCY, value=payload.latency_ms, unit="ms", metadata=metadata
            )
        case Failure():
            _put(metadata, caused_by_event_id=payload.caused_by_event_id)
            return NodeType.ERROR, ErrorData(
                error_type=payload.error_type, message=payload.message, severity=payload.severity, metadata=metadata
            )


def _put(metadata: dict[str, str], **fields: str | float) -> None:
    """Fields of the event beside its metadata, which they replace where it uses the same name."""
    for name, value in fields.items():
        if value:
            metadata[name] = str(value)


def event_of(node: Node) -> TelemetryEvent | None:
    """The event a node was made of; None for a node that is of no telemetry event."""
    data = node.data
    match data:
        case InvocationData():
            metadata = dict(data.metadata)
            event_type = metadata.pop("event_type", _TYPE_BY_STATUS.get(data.status, COMPLETE))
            payload: Payload = Invocation(
                model_id=data.model_id,
                provider=data.provider,
                token_count=data.token_count,
                latency_ms=data.latency_ms,
                status="" if data.status == STARTED else data.status,
            )
        case MetricData(name="llm.tokens.consumed"):
            metadata, event_type = dict(data.metadata), TOKENS
            payload = Tokens(
                model_id=metadata.pop("model_id", ""),
                provider=metadata.pop("provider", ""),
                prompt_tokens=_whole(metadata.pop("prompt_tokens", "")),
                completion_tokens=_whole(metadata.pop("completion_tokens", "")),
                total_tokens=int(data.value),
            )
        case MetricData(name="llm.latency.measured"):
            metadata, event_type = dict(data.metadata), LATENCY
            payload = Latency(
                model_id=metadata.pop("model_id", ""),
                provider=metadata.pop("provider", ""),
                latency_ms=data.value,
                percentile=_number(metadata.pop("percentile", "")),
                operation=metadata.pop("operation", ""),
            )
        case ErrorData():
            metadata, event_type = dict(data.metadata), FAILURE
            payload = Failure(
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
    return int(text) if text.isdecimal() else 0


def _number(text: str) -> float:
    """A number as `_put` wrote it; 0 for what a client wrote with UpdateNode."""
    try:
        return float(text or 0)
    except ValueError:
        return 0.0
