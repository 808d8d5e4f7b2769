"""Telemetry events and the checks of their values (contract §2). Pure."""

from __future__ import annotations

import math
import re

import msgspec

from memory_graph.ingest.checks import total_problem
from memory_graph.ingest.timestamps import EARLIEST_MS, LATEST_MS, time_problem
from memory_graph.model.errors import shortened

MAX_EVENT_ID = 256
"""Longest event_id, in characters."""
MAX_METADATA = 64
"""Most metadata entries of an event: each is indexed."""
MAX_EVENT_BYTES = 1_000_000
"""Largest event as it is sent."""
STATUSES = ("success", "error", "timeout")
"""The statuses of an invocation that ended."""
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
MAX_TOKEN_COUNT = 2**31 - 1
"""Most tokens of an invocation event: the contract has 32 bits for them, the graph 64."""
_INT64 = 2**63 - 1


class _PayloadBase(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A payload of an event, compared by content."""


class InvocationPayload(_PayloadBase, frozen=True, kw_only=True):
    """A call of a model. latency_ms: in milliseconds."""

    model_id: str = ""
    provider: str = ""
    token_count: int = 0
    latency_ms: float = 0.0
    status: str = ""


class TokensPayload(_PayloadBase, frozen=True, kw_only=True):
    """Consumed tokens. total_tokens 0 beside other counts means their sum."""

    model_id: str = ""
    provider: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class LatencyPayload(_PayloadBase, frozen=True, kw_only=True):
    """A measured latency in milliseconds. percentile: 0 to 100."""

    model_id: str = ""
    provider: str = ""
    latency_ms: float = 0.0
    percentile: float = 0.0
    operation: str = ""


class ErrorPayload(_PayloadBase, frozen=True, kw_only=True):
    """An error. caused_by_event_id: the event that caused it, sent before or after it."""

    model_id: str = ""
    provider: str = ""
    error_type: str = ""
    message: str = ""
    severity: str = ""
    caused_by_event_id: str = ""


class AggregatePayload(_PayloadBase, frozen=True, kw_only=True):
    """A metric of a model over a window of time, in milliseconds since 1970-01-01T00:00:00Z. The metric's name says how
    `value` sums up `count` measurements (mean, percentile, sum)."""

    model_id: str = ""
    provider: str = ""
    metric: str = ""
    value: float = 0.0
    unit: str = ""
    count: int = 0
    window_start_ms: int = 0
    window_end_ms: int = 0


class DailySummaryPayload(_PayloadBase, frozen=True, kw_only=True):
    """A model's figures of one day. date: YYYY-MM-DD (UTC); latencies in milliseconds; cost in the sender's unit."""

    model_id: str = ""
    provider: str = ""
    date: str = ""
    requests: int = 0
    errors: int = 0
    total_tokens: int = 0
    cost: float = 0.0
    latency_p50_ms: float = 0.0
    latency_p95_ms: float = 0.0
    latency_p99_ms: float = 0.0


SummaryPayload = AggregatePayload | DailySummaryPayload
"""The payloads that only batches carry."""
Payload = InvocationPayload | TokensPayload | LatencyPayload | ErrorPayload | SummaryPayload

START, COMPLETE, ERROR = "llm.invocation.start", "llm.invocation.complete", "llm.invocation.error"
TOKENS, LATENCY, FAILURE = "llm.tokens.consumed", "llm.latency.measured", "llm.error.occurred"

PAYLOADS: dict[str, type[Payload]] = {
    START: InvocationPayload,
    COMPLETE: InvocationPayload,
    ERROR: InvocationPayload,
    TOKENS: TokensPayload,
    LATENCY: LatencyPayload,
    FAILURE: ErrorPayload,
}
"""The payload of each event type."""
AGGREGATED, DAILY = "llm.metrics.aggregated", "llm.performance.daily_summary"
BATCH_PAYLOADS: dict[str, type[Payload]] = {AGGREGATED: AggregatePayload, DAILY: DailySummaryPayload}
"""The payload of each event type that only batches carry."""
COUNTED = frozenset(
    {*PAYLOADS, *BATCH_PAYLOADS, "llm.prompt", "llm.response", "llm.session.started", "llm.session.ended"}
)
"""The event types that metrics count."""
UNKNOWN = "unknown"
"""The label of an unknown type in metrics."""
ARMS: dict[type[Payload], str] = {
    InvocationPayload: "invocation",
    TokensPayload: "tokens",
    LatencyPayload: "latency",
    ErrorPayload: "error",
}
"""The wire name of each payload."""


class TelemetryEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A checked event. timestamp_ms: its time, since 1970-01-01T00:00:00Z."""

    event_id: str
    event_type: str
    timestamp_ms: int
    payload: Payload
    metadata: dict[str, str] = {}
    trace_id: str = ""
    span_id: str = ""

    @property
    def key(self) -> str:
        """The key that events in one order share (contract §3)."""
        return self.metadata.get("session_id") or self.trace_id or self.payload.model_id


class Rejected(Exception):
    """An event that can never be stored as it is.

    event_id, event_type: as far as they could be read. reason: a label for counting, `undecodable`, `unknown_type`,
    `invalid`, `refused` by the store, `failed` inside the service; `expired` or `waiting_full`: a response without its
    prompt. The text is a sentence for the sender, without the event's content. body: the event, as JSON or what
    content_type says, where nobody else has it.
    """

    def __init__(
        self, event_id: str, event_type: str, reason: str, sentence: str, *, body: bytes | None = None
    ) -> None:
        super().__init__(shortened(sentence))
        self.body = body
        self.content_type = "application/json"
        self.event_id = event_id[:MAX_EVENT_ID]
        self.event_type = event_type if event_type in COUNTED else UNKNOWN
        self.reason = reason


def check_type(event_id: str, event_type: str, *, batch: bool = False) -> type[Payload]:
    """Return the payload type of an event type. Raises `Rejected` if the type is unknown, or only valid in a batch."""
    payload_type = PAYLOADS.get(event_type) or (BATCH_PAYLOADS.get(event_type) if batch else None)
    if payload_type is not None:
        return payload_type
    if event_type in BATCH_PAYLOADS:
        sentence = f"event_type {event_type} is taken by POST /api/v1/telemetry/batch alone; send it there"
    else:
        sentence = f"event_type {event_type[:64]!r} is unknown; use one of {', '.join(PAYLOADS)}"
    raise Rejected(event_id, event_type, "unknown_type", sentence)


def validated(event: TelemetryEvent) -> TelemetryEvent:
    """Return an event of a known type, or raise `Rejected` with the first problem."""
    problem = _problem(event) or _problem_of(event.event_type, event.payload)
    if problem:
        raise Rejected(event.event_id, event.event_type, "invalid", problem)
    return event


def references(event: TelemetryEvent) -> str:
    """Return the event_id of the event that caused this one, or that it belongs to; empty if it names none."""
    match event.payload:
        case InvocationPayload():
            return event.metadata.get("triggered_by_event_id", "")
        case ErrorPayload(caused_by_event_id=cause) if cause:
            return cause
        case _:
            return event.metadata.get("invocation_event_id", "")


def _problem(event: TelemetryEvent) -> str | None:
    if not event.event_id:
        return "event_id is missing; give each event an id of its own, best a UUIDv7"
    if len(event.event_id) > MAX_EVENT_ID:
        return f"event_id has {len(event.event_id)} characters; at most {MAX_EVENT_ID} are accepted"
    problem = time_problem("the timestamp", event.timestamp_ms)
    if problem:
        return problem
    if len(event.metadata) > MAX_METADATA:
        return f"metadata has {len(event.metadata)} entries; at most {MAX_METADATA} are accepted"
    if references(event) == event.event_id:
        return "the event names itself as its cause; name another event, or none"
    return None


def _problem_of(event_type: str, payload: Payload) -> str | None:  # noqa: C901 - one sentence each
    if isinstance(payload, AggregatePayload | DailySummaryPayload):
        return _problem_of_summary(payload)
    if not payload.model_id and not isinstance(payload, ErrorPayload):
        return f"payload.{ARMS[type(payload)]}.model_id is missing; name the model"
    match payload:
        case InvocationPayload():
            if payload.status not in STATUSES and (payload.status or event_type != START):
                return f"payload.invocation.status must be one of {', '.join(STATUSES)}"
            return _amount("invocation.token_count", payload.token_count, MAX_TOKEN_COUNT) or _amount(
                "invocation.latency_ms", payload.latency_ms
            )
        case TokensPayload():
            for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
                problem = _amount(f"tokens.{name}", getattr(payload, name))
                if problem:
                    return problem
            problem = total_problem(payload.prompt_tokens, payload.completion_tokens, payload.total_tokens)
            return f"payload.tokens.total_tokens {problem}" if problem else None
        case LatencyPayload():
            if not 0 <= payload.percentile <= 100:
                return "payload.latency.percentile must be from 0 to 100"
            return _amount("latency.latency_ms", payload.latency_ms)
        case ErrorPayload():
            if not payload.error_type:
                return "payload.error.error_type is missing; name the kind of error"
    return None


def _problem_of_summary(payload: SummaryPayload) -> str | None:
    if not payload.model_id:
        return "payload.model_id is missing; name the model"
    if isinstance(payload, AggregatePayload):
        if not payload.metric:
            return "payload.metric is missing; name the metric"
        if not 0 <= payload.window_start_ms <= payload.window_end_ms <= LATEST_MS:
            return "payload.window_start_ms and window_end_ms must be times, the first not after the second"
        if 0 < payload.window_end_ms < EARLIEST_MS or 0 < payload.window_start_ms < EARLIEST_MS:
            return "payload.window_start_ms and window_end_ms must be milliseconds since 1970; these are as seconds are"
        if not math.isfinite(payload.value):
            return "payload.value must be a finite number"
        return _amount("count", payload.count)
    if not _DATE.fullmatch(payload.date):
        return "payload.date must be a day such as 2026-03-01"
    for name in payload.__struct_fields__[3:]:
        problem = _amount(name, getattr(payload, name))
        if problem:
            return problem
    return None


def _amount(field: str, value: float, max_value: float = _INT64) -> str | None:
    if 0 <= value <= max_value or (isinstance(value, float) and value >= 0 and math.isfinite(value)):
        return None
    return f"payload.{field} must be a number that is not negative and fits its field"
