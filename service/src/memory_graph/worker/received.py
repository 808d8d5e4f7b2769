"""A record as it was read, and what its headers say (contract §3). Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from confluent_kafka import Message

from memory_graph.ingest.telemetry.events import Rejected
from memory_graph.kafka.dead_letters import DeadLetter
from memory_graph.worker.offsets import Partition

CONTENT_TYPE, TENANT, TRACEPARENT = "content-type", "tenant-id", "traceparent"
MAX_TENANT = 128
"""Longest name of a tenant, in characters."""
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}")

Headers = Sequence[tuple[str, bytes | None]]


class Received(msgspec.Struct, frozen=True, gc=False):
    """A record. Where a header is given more than once the last counts."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    body: bytes
    headers: Headers

    @property
    def place(self) -> Partition:
        return self.topic, self.partition

    @property
    def content_type(self) -> str:
        """Empty where it is not told."""
        return self._text(CONTENT_TYPE)

    def tenant(self, otherwise: str) -> str:
        """Whose it is. Raises `Rejected` for a name that is none."""
        name = self._text(TENANT)
        if len(name) > MAX_TENANT or not (name.isprintable() and name == name.strip()):
            sentence = f"the header {TENANT} is no name of up to {MAX_TENANT} printable characters"
            raise Rejected("", "", "invalid", sentence)
        return name or otherwise

    @property
    def trace(self) -> tuple[str, str] | None:
        """Trace id and span id of W3C trace context, where there is one that is valid."""
        found = _TRACEPARENT.fullmatch(self._text(TRACEPARENT))
        return (found[1], found[2]) if found else None

    def given_up(self, problem: Rejected) -> DeadLetter:
        """What goes to the dead letters of its topic."""
        return DeadLetter(
            topic=self.topic,
            partition=self.partition,
            offset=self.offset,
            key=self.key,
            body=self.body,
            headers=self.headers,
            reason=problem.reason,
            sentence=str(problem),
        )

    def _text(self, name: str) -> str:
        for given, value in reversed(self.headers):
            if given.lower() == name and value is not None:
                return value.decode("utf-8", "replace")
        return ""


def received(message: Message) -> Received:
    """A message of the client library. One without a body counts as empty."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    key, body = message.key(), message.value()
    headers: Any = message.headers()  # a list of pairs, whatever was given to the producer
    return Received(
        topic,
        partition,
        offset,
        key if isinstance(key, bytes) else None,
        body if isinstance(body, bytes) else b"",
        headers or (),
    )
