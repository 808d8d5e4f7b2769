"""Conversation events: checked bodies with their times."""

from __future__ import annotations

import msgspec

from memory_graph.ingest.conversations.bodies import PromptBody, ResponseBody, SessionBody

PROMPT, RESPONSE = "llm.prompt", "llm.response"
STARTED, ENDED = "llm.session.started", "llm.session.ended"
TYPES = (PROMPT, RESPONSE, STARTED, ENDED)
"""The types by which these events are counted."""


class _Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A checked event. at: its time, in nanoseconds since 1970-01-01T00:00:00Z."""

    at: int


class PromptEvent(_Event, frozen=True, kw_only=True):
    body: PromptBody

    @property
    def event_id(self) -> str:
        return self.body.event_id

    @property
    def event_type(self) -> str:
        return PROMPT

    @property
    def key(self) -> str:
        return self.body.session.id


class ResponseEvent(_Event, frozen=True, kw_only=True):
    """A response. It does not name the key of its prompt, so its key is the prompt's event_id."""

    body: ResponseBody

    @property
    def event_id(self) -> str:
        return self.body.event_id

    @property
    def event_type(self) -> str:
        return RESPONSE

    @property
    def key(self) -> str:
        return self.body.prompt_event_id


class SessionEvent(_Event, frozen=True, kw_only=True):
    body: SessionBody

    @property
    def event_id(self) -> str:
        return self.body.event_id

    @property
    def event_type(self) -> str:
        return STARTED if self.body.event_type == "session.started" else ENDED

    @property
    def key(self) -> str:
        return self.body.session.id


ConversationEvent = PromptEvent | ResponseEvent | SessionEvent
