"""Bodies of llm.prompts.v1, llm.responses.v1 and llm.sessions.v1 as events. Pure."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from memory_graph.ingest.checks import MAX_CONTENT_BYTES
from memory_graph.ingest.conversations.bodies import PromptBody, ResponseBody, SessionBody, ToolCall
from memory_graph.ingest.conversations.events import (
    ENDED,
    PROMPT,
    RESPONSE,
    STARTED,
    PromptEvent,
    ResponseEvent,
    SessionEvent,
)
from memory_graph.ingest.telemetry.events import Rejected
from memory_graph.ingest.timestamps import LATEST_MS, NS_PER_MS, milliseconds

MAX_BODY_BYTES = 4_000_000
"""Largest body: the longest text, and as much again of context, tool calls and escapes."""

_Body = TypeVar("_Body", PromptBody, ResponseBody, SessionBody)


class _Named(msgspec.Struct, rename="camel"):
    """What can be read of a body that is not right."""

    event_id: str = ""


_named = msgspec.json.Decoder(_Named)
_prompt = msgspec.json.Decoder(PromptBody)
_response = msgspec.json.Decoder(ResponseBody)
_session = msgspec.json.Decoder(SessionBody)


def prompt(body: bytes) -> PromptEvent:
    """Raises `Rejected`."""
    found = _decoded(body, _prompt, PROMPT)
    _fits(found.prompt.text, "prompt.text", found.event_id, PROMPT)
    return PromptEvent(body=found, at=_at(found, PROMPT))


def response(body: bytes) -> ResponseEvent:
    """Raises `Rejected`."""
    found = _decoded(body, _response, RESPONSE)
    told = found.response
    if not (told.text or told.function_call or told.tool_calls or (found.error and found.error.message)):
        sentence = "the response is empty; give response.text, functionCall or toolCalls, or error.message"
        raise Rejected(found.event_id, RESPONSE, "invalid", sentence)
    if found.prompt_event_id == found.event_id:
        raise Rejected(found.event_id, RESPONSE, "invalid", "promptEventId is the event's own id; name the prompt's")
    _fits(told.text or "", "response.text", found.event_id, RESPONSE)
    for index, call in enumerate(told.tool_calls or ()):
        _check_call(call, f"response.toolCalls[{index}]", found.event_id)
    return ResponseEvent(body=found, at=_at(found, RESPONSE))


def session(body: bytes) -> SessionEvent:
    """Raises `Rejected`."""
    found = _decoded(body, _session, STARTED)
    event_type = STARTED if found.event_type == "session.started" else ENDED
    return SessionEvent(body=found, at=_at(found, event_type))


def _decoded(body: bytes, decoder: msgspec.json.Decoder[_Body], event_type: str) -> _Body:
    if len(body) > MAX_BODY_BYTES:
        sentence = f"the body is {len(body):,} bytes; at most {MAX_BODY_BYTES:,} are accepted"
        raise Rejected("", event_type, "invalid", sentence)
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        problem = error
    try:
        named = _named.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Rejected("", event_type, "undecodable", f"the body is no JSON event: {problem}") from None
    sentence = f"the event does not fit its schema: {problem}"
    raise Rejected(named.event_id, event_type, "invalid", sentence) from None


def _at(body: PromptBody | ResponseBody | SessionBody, event_type: str) -> int:
    try:
        at = milliseconds(body.timestamp)
    except ValueError:
        at = 0
    if not 0 < at <= LATEST_MS:
        sentence = "the timestamp is neither ISO 8601 nor milliseconds since 1970-01-01T00:00:00Z, or out of range"
        raise Rejected(body.event_id, event_type, "invalid", sentence)
    return at * NS_PER_MS


def _check_call(call: ToolCall, path: str, event_id: str) -> None:
    if call.name is None and call.function is None:
        raise Rejected(event_id, RESPONSE, "invalid", f"{path} names no tool; give name, or function.name")
    for name, text in (("arguments", call.arguments), ("error", call.error)):
        if isinstance(text, str):
            _fits(text, f"{path}.{name}", event_id, RESPONSE)


def _fits(text: str, path: str, event_id: str, event_type: str) -> None:
    """The limit of gRPC's content, in bytes (contracts §1)."""
    if len(text) * 4 > MAX_CONTENT_BYTES and len(text.encode()) > MAX_CONTENT_BYTES:
        sentence = f"{path} is {len(text.encode()):,} bytes; at most {MAX_CONTENT_BYTES:,} are accepted"
        raise Rejected(event_id, event_type, "invalid", sentence)
