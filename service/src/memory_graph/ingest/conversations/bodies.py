"""PromptEvent, ResponseEvent and SessionEvent as they are sent (contract §3).

These types are the JSON Schemas in `schemas/`, which `python -m memory_graph.ingest.conversations.schema` writes.
msgspec decodes and validates in one pass of C code, at several times the speed of parsing first and validating then.
Fields without a name here are ignored.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from memory_graph.ingest.checks import MAX_CONTENT_BYTES
from memory_graph.ingest.json_text import Scalar

MAX_TEXT = MAX_CONTENT_BYTES
"""Longest text of a prompt, in characters; in UTF-8 it must not have more bytes either (contract §1)."""
MAX_ENTRIES = 64
"""Most metadata entries, tags or tool calls of an event: each is indexed or becomes a node."""

Id = Annotated[str, Meta(min_length=1, max_length=256)]
Name = Annotated[str, Meta(max_length=256)]
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
Time = Annotated[
    float | str, Meta(description="ISO 8601 (without an offset: UTC), or milliseconds since 1970-01-01T00:00:00Z")
]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Amount = Annotated[float, Meta(ge=0, le=1e15)]
Metadata = Annotated[dict[str, Scalar], Meta(max_length=MAX_ENTRIES)]
Tags = Annotated[list[str], Meta(max_length=MAX_ENTRIES)] | Annotated[dict[str, Scalar], Meta(max_length=MAX_ENTRIES)]
Purpose = Literal["chat", "completion", "embedding", "fine_tune", "other"]


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, gc=False):
    """A part of a body. A missing field, its default and null mean the same."""


class TraceContext(_Part, frozen=True, kw_only=True):
    """The span that sent an event."""

    trace_id: Name | None = None
    span_id: Name | None = None
    parent_span_id: Name | None = None


class PromptPart(_Part, frozen=True, kw_only=True):
    """The prompt itself. template: the id of the template of the text; parameters: the values for it."""

    text: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
    template: Name | None = None
    parameters: dict[str, Any] | None = None
    images: list[str | dict[str, Any]] | None = None
    metadata: Metadata | None = None


class PromptSession(_Part, frozen=True, kw_only=True):
    """The session of a prompt, and whose it is."""

    id: Id
    user_id: Id
    application_id: Name | None = None
    purpose: Purpose | None = None


class ModelParameters(_Part, frozen=True, kw_only=True):
    """The sampling parameters that a model was called with."""

    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: float | None = None
    top_k: int | float | None = None
    max_tokens: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    stop_sequences: list[str] | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None


class Model(_Part, frozen=True, kw_only=True):
    """The model that a prompt was sent to."""

    id: Id
    provider: Name | None = None
    version: Name | None = None
    parameters: ModelParameters | None = None


class Document(_Part, frozen=True, kw_only=True):
    """A document that was retrieved for a prompt."""

    id: Id
    content: str | None = None
    relevance_score: float | None = None


class Context(_Part, frozen=True, kw_only=True):
    """The circumstances of a prompt besides its text."""

    conversation_history: list[Any] | None = None
    documents: list[Document] | None = None
    retrieval_method: Literal["embedding", "keyword", "hybrid", "none"] | None = None


class PromptBody(_Part, frozen=True, kw_only=True):
    """A prompt that was sent to a model (topic llm.prompts.v1)."""

    event_id: Id
    timestamp: Time
    prompt: PromptPart
    session: PromptSession
    model: Model
    context: Context | None = None
    tags: Tags | None = None
    trace_context: TraceContext | None = None


class Function(_Part, frozen=True, kw_only=True):
    """A function call of a model. arguments: JSON, or text that should be."""

    name: Id
    arguments: Text | dict[str, Any] | None = None


class ToolCall(_Part, frozen=True, kw_only=True):
    """A tool call of a model, by `name` and `arguments` or in `function`, and its outcome if the sender knows it.
    durationMs: in milliseconds."""

    id: Name | None = None
    name: Id | None = None
    arguments: Text | dict[str, Any] | None = None
    function: Function | None = None
    status: Name | None = None
    result: Any = None
    error: Text | None = None
    duration_ms: Amount | None = None
    retry_count: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None


class ResponsePart(_Part, frozen=True, kw_only=True):
    text: Text | None = None
    finish_reason: (
        Literal["stop", "length", "content_filter", "function_call", "tool_calls", "tool_use", "error"] | None
    ) = None
    function_call: Function | None = None
    tool_calls: Annotated[list[ToolCall], Meta(max_length=MAX_ENTRIES)] | None = None


class Usage(_Part, frozen=True, kw_only=True):
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    total_tokens: Count | None = None


class ResponseMetrics(_Part, frozen=True, kw_only=True):
    """Measurements of a response. latency, ttft (time to first token): in milliseconds. throughput: tokens a second.
    cost: in the unit of the sender."""

    latency: Amount | None = None
    ttft: Amount | None = None
    throughput: Amount | None = None
    cost: Amount | None = None


class ResponseError(_Part, frozen=True, kw_only=True):
    code: Name | int | None = None
    message: Text | None = None
    type: Name | None = None
    recoverable: bool | None = None


class ResponseBody(_Part, frozen=True, kw_only=True):
    """A model's answer to a prompt (topic llm.responses.v1)."""

    event_id: Id
    timestamp: Time
    prompt_event_id: Id
    response: ResponsePart
    usage: Usage | None = None
    metrics: ResponseMetrics | None = None
    error: ResponseError | None = None
    tags: Tags | None = None
    trace_context: TraceContext | None = None


class SessionPart(_Part, frozen=True, kw_only=True):
    id: Id
    user_id: Name | None = None
    application_id: Name | None = None
    purpose: Purpose | None = None


class SessionBody(_Part, frozen=True, kw_only=True):
    """A session that began or ended (topic llm.sessions.v1)."""

    event_id: Id
    event_type: Literal["session.started", "session.ended"]
    timestamp: Time
    session: SessionPart
    metadata: Metadata | None = None
    tags: Tags | None = None
    trace_context: TraceContext | None = None
