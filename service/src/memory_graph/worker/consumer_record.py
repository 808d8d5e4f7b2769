"""Consumed records and their headers (contract §3). Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from confluent_kafka import Message

from memory_graph.ingest.telemetry.events import Rejected
from memory_graph.kafka.dead_letters import RejectedRecord
from memory_graph.worker.offsets import Partition

CONTENT_TYPE, TENANT, TRACEPARENT = "content-type", "tenant-id", "traceparent"
MAX_TENANT = 128
"""Longest name of a tenant, in characters."""
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}")

Headers = Sequence[tuple[str, bytes | None]]


class ConsumerRecord(msgspec.Struct, frozen=True, gc=False):
    """A consumed record. Of a header that is repeated, the last value counts."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    body: bytes
    headers: Headers

    @property
    def partition_key(self) -> Partition:
        return self.topic, self.partition

    @property
    def content_type(self) -> str:
        """The value of the header; empty without one."""
        return self._text(CONTENT_TYPE)

    def tenant(self, default: str) -> str:
        """Return the tenant that the header names, or the default. Raises `Rejected` for an invalid name."""
        name = self._text(TENANT)
        if len(name) > MAX_TENANT or not (name.isprintable() and name == name.strip()):
            sentence = f"the header {TENANT} is no name of up to {MAX_TENANT} printable characters"
            raise Rejected("", "", "invalid", sentence)
        return name or default

    @property
    def trace(self) -> tuple[str, str] | None:
        """Trace id and span id of a valid W3C trace context; None without one."""
        match = _TRACEPARENT.fullmatch(self._text(TRACEPARENT))
        return (match[1], match[2]) if match else None

    def rejected(self, problem: Rejected) -> RejectedRecord:
        """Make the record for the dead letters of its topic."""
        return RejectedRecord(
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
        for header, value in reversed(self.headers):
            if header.lower() == name and value is not None:
                return value.decode("utf-8", "replace")
        return ""


def parse_record(message: Message) -> ConsumerRecord:
    """Make a record of a message of the client library. A missing body becomes an empty one."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    key, body = message.key(), message.value()
    headers: Any = message.headers()  # a list of pairs, whatever was given to the producer
    return ConsumerRecord(
        topic,
        partition,
        offset,
        key if isinstance(key, bytes) else None,
        body if isinstance(body, bytes) else b"",
        headers or (),
    )
