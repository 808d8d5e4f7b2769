"""Bodies of llm.prompts.v1, llm.responses.v1 and llm.sessions.v1 as events. Pure."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from memory_graph.ingest.checks import MAX_CONTENT_BYTES, calls_tools, total_problem
from memory_graph.ingest.conversations.bodies import PromptBody, ResponseBody, SessionBody, ToolCall, Usage
from memory_graph.ingest.conversations.events import (
    ENDED,
    PROMPT,
    RESPONSE,
    STARTED,
    PromptEvent,
    ResponseEvent,
    SessionEvent,
)
from memory_graph.ingest.json_text import TOO_DEEP, fault, is_other, names, too_deep, without_bom
from memory_graph.ingest.telemetry.events import Rejected
from memory_graph.ingest.timestamps import NS_PER_MS, milliseconds, time_problem

MAX_BODY_BYTES = 4_000_000
"""Largest body: the longest text, and as much again of context, tool calls and escapes."""

_Body = TypeVar("_Body", PromptBody, ResponseBody, SessionBody)


_prompt = msgspec.json.Decoder(PromptBody, strict=False)
_response = msgspec.json.Decoder(ResponseBody, strict=False)
_session = msgspec.json.Decoder(SessionBody, strict=False)


def prompt(body: bytes) -> PromptEvent:
    """Raises `Rejected`."""
    found = _decoded(body, _prompt, PROMPT)
    _fits(found.prompt.text, "prompt.text", found.event_id, PROMPT)
    return PromptEvent(body=found, at=_at(found, PROMPT))


def response(body: bytes) -> ResponseEvent:
    """Raises `Rejected`."""
    found = _decoded(body, _response, RESPONSE)
    told = found.response
    calls = told.function_call or told.tool_calls or calls_tools(told.finish_reason or "")
    if not (told.text or calls or (found.error and found.error.message)):
        sentence = "the response is empty; give response.text, functionCall or toolCalls, or error.message"
        raise Rejected(found.event_id, RESPONSE, "invalid", sentence)
    if found.prompt_event_id == found.event_id:
        raise Rejected(found.event_id, RESPONSE, "invalid", "promptEventId is the event's own id; name the prompt's")
    _fits(told.text or "", "response.text", found.event_id, RESPONSE)
    if found.usage is not None:
        _check_usage(found.usage, found.event_id)
    for index, call in enumerate(told.tool_calls or ()):
        _check_call(call, f"response.toolCalls[{index}]", found.event_id)
    return ResponseEvent(body=found, at=_at(found, RESPONSE))


def session(body: bytes) -> SessionEvent:
    """Raises `Rejected`."""
    found = _decoded(body, _session, STARTED)
    event_type = STARTED if found.event_type == "session.started" else ENDED
    return SessionEvent(body=found, at=_at(found, event_type))


def _decoded(body: bytes, decoder: msgspec.json.Decoder[_Body], event_type: str) -> _Body:
    body = without_bom(body)
    if len(body) > MAX_BODY_BYTES:
        sentence = f"the body is {len(body):,} bytes; at most {MAX_BODY_BYTES:,} are accepted"
        raise Rejected(_named(body), event_type, "invalid", sentence)
    if too_deep(body):
        raise Rejected(_named(body), event_type, "invalid", f"the body {TOO_DEEP}")
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if is_other(body, error):
            sentence, reason = f"the event does not fit its schema: {error}", "invalid"
        else:
            sentence, reason = f"the body is no JSON event: {fault(body, error)}", "undecodable"
    raise Rejected(_named(body), event_type, reason, sentence)


def _named(body: bytes) -> str:
    (event_id,) = names(body, "eventId")
    return event_id


def _at(body: PromptBody | ResponseBody | SessionBody, event_type: str) -> int:
    problem: str | None = "the timestamp is neither ISO 8601 nor milliseconds since 1970-01-01T00:00:00Z"
    try:
        at = milliseconds(body.timestamp)
        problem = time_problem("the timestamp", at)
    except ValueError:
        at = 0
    if problem:
        raise Rejected(body.event_id, event_type, "invalid", problem)
    return at * NS_PER_MS


def _check_usage(usage: Usage, event_id: str) -> None:
    problem = total_problem(usage.prompt_tokens or 0, usage.completion_tokens or 0, usage.total_tokens or 0)
    if problem:
        raise Rejected(event_id, RESPONSE, "invalid", f"usage.totalTokens {problem}")


def _check_call(call: ToolCall, path: str, event_id: str) -> None:
    if call.name is None and call.function is None:
        raise Rejected(event_id, RESPONSE, "invalid", f"{path} names no tool; give name, or function.name")
    for name, text in (("arguments", call.arguments), ("error", call.error)):
        if isinstance(text, str):
            _fits(text, f"{path}.{name}", event_id, RESPONSE)


def _fits(text: str, path: str, event_id: str, event_type: str) -> None:
    """The limit of gRPC's content, in bytes (contract §1)."""
    if len(text) * 4 > MAX_CONTENT_BYTES and len(text.encode()) > MAX_CONTENT_BYTES:
        sentence = f"{path} is {len(text.encode()):,} bytes; at most {MAX_CONTENT_BYTES:,} are accepted"
        raise Rejected(event_id, event_type, "invalid", sentence)
