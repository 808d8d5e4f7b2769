"""Decodes and checks the bodies of llm.prompts.v1, llm.responses.v1 and llm.sessions.v1. Pure."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from memory_graph.ingest.checks import calls_tools, size_problem, total_problem
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
from memory_graph.ingest.json_text import (
    TOO_DEEP,
    is_wrong_object,
    string_fields,
    syntax_problem,
    too_deep,
    without_bom,
)
from memory_graph.ingest.telemetry.events import Rejected
from memory_graph.ingest.timestamps import milliseconds, time_problem
from memory_graph.model.times import NS_PER_MS

MAX_BODY_BYTES = 4_000_000
"""Largest body: the longest text, and as much again of context, tool calls and escapes."""

_BodyT = TypeVar("_BodyT", PromptBody, ResponseBody, SessionBody)


_prompt = msgspec.json.Decoder(PromptBody, strict=False)
_response = msgspec.json.Decoder(ResponseBody, strict=False)
_session = msgspec.json.Decoder(SessionBody, strict=False)


def decode_prompt(body: bytes) -> PromptEvent:
    """Decode and check a body. Raises `Rejected`."""
    decoded = _decode(body, _prompt, PROMPT)
    _check_size(decoded.prompt.text, "prompt.text", decoded.event_id, PROMPT)
    return PromptEvent(body=decoded, at=_at(decoded, PROMPT))


def decode_response(body: bytes) -> ResponseEvent:
    """Decode and check a body. Raises `Rejected`."""
    decoded = _decode(body, _response, RESPONSE)
    part = decoded.response
    calls = part.function_call or part.tool_calls or calls_tools(part.finish_reason or "")
    if not (part.text or calls or (decoded.error and decoded.error.message)):
        sentence = "the response is empty; give response.text, functionCall or toolCalls, or error.message"
        raise Rejected(decoded.event_id, RESPONSE, "invalid", sentence)
    if decoded.prompt_event_id == decoded.event_id:
        raise Rejected(decoded.event_id, RESPONSE, "invalid", "promptEventId is the event's own id; name the prompt's")
    _check_size(part.text or "", "response.text", decoded.event_id, RESPONSE)
    if decoded.usage is not None:
        _check_usage(decoded.usage, decoded.event_id)
    for index, call in enumerate(part.tool_calls or ()):
        _check_call(call, f"response.toolCalls[{index}]", decoded.event_id)
    return ResponseEvent(body=decoded, at=_at(decoded, RESPONSE))


def decode_session(body: bytes) -> SessionEvent:
    """Decode and check a body. Raises `Rejected`."""
    decoded = _decode(body, _session, STARTED)
    event_type = STARTED if decoded.event_type == "session.started" else ENDED
    return SessionEvent(body=decoded, at=_at(decoded, event_type))


def _decode(body: bytes, decoder: msgspec.json.Decoder[_BodyT], event_type: str) -> _BodyT:
    body = without_bom(body)
    if len(body) > MAX_BODY_BYTES:
        sentence = f"the body is {len(body):,} bytes; at most {MAX_BODY_BYTES:,} are accepted"
        raise Rejected(_event_id(body), event_type, "invalid", sentence)
    if too_deep(body):
        raise Rejected(_event_id(body), event_type, "invalid", f"the body {TOO_DEEP}")
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if is_wrong_object(body, error):
            sentence, reason = f"the event does not fit its schema: {error}", "invalid"
        else:
            sentence, reason = f"the body is no JSON event: {syntax_problem(body, error)}", "undecodable"
    raise Rejected(_event_id(body), event_type, reason, sentence)


def _event_id(body: bytes) -> str:
    (event_id,) = string_fields(body, "eventId")
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
            _check_size(text, f"{path}.{name}", event_id, RESPONSE)


def _check_size(text: str, path: str, event_id: str, event_type: str) -> None:
    """Check the limit of gRPC's content, in bytes (contract §1)."""
    problem = size_problem(text)
    if problem:
        raise Rejected(event_id, event_type, "invalid", f"{path} {problem}")
