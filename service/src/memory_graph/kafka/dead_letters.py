"""Dead letters: records that can never be stored, kept whole in `<topic>-dlq` with where they came from and why they
are there (contract §3).

x-retry-count says how often a record has been sent back to its topic (`memory-graph dlq redrive`) before it failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Self

import msgspec
import structlog
from confluent_kafka import KafkaError

from memory_graph.config import Settings
from memory_graph.kafka.producer import AckedProducer, Headers, Record
from memory_graph.model.numbers import whole

SUFFIX = "-dlq"
ORIGINAL_TOPIC, ORIGINAL_PARTITION, ORIGINAL_OFFSET = "x-original-topic", "x-original-partition", "x-original-offset"
FAILURE_REASON, RETRY_COUNT = "x-failure-reason", "x-retry-count"
OMITTED = "x-body-omitted"
"""The size of a body that did not fit; it is in the original topic as long as that keeps it."""
OURS = frozenset({ORIGINAL_TOPIC, ORIGINAL_PARTITION, ORIGINAL_OFFSET, FAILURE_REASON, RETRY_COUNT, OMITTED})
_PAUSE_S = 5.0
_TOO_LARGE = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE)
_log = structlog.get_logger(__name__)


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A record that is given up. topic: where it was read, or would have been had it come by Kafka (then partition and
    offset are -1). reason: a label for counting (`Rejected.reason`). sentence: what is wrong, without content."""

    topic: str
    partition: int = -1
    offset: int = -1
    key: bytes | None
    body: bytes | None
    headers: Headers = ()
    reason: str
    sentence: str


def dead_letter_topic(topic: str) -> str:
    """Where the dead letters of a topic are."""
    return topic + SUFFIX


def record_of(letter: DeadLetter) -> Record:
    """A dead letter as it is written: key, body and headers as they were, and ours."""
    ours = (
        (ORIGINAL_TOPIC, letter.topic.encode()),
        (ORIGINAL_PARTITION, b"%d" % letter.partition),
        (ORIGINAL_OFFSET, b"%d" % letter.offset),
        (FAILURE_REASON, f"{letter.reason}: {letter.sentence}".encode()),
        (RETRY_COUNT, b"%d" % retries(letter.headers)),
    )
    theirs = [(name, value) for name, value in letter.headers if name not in OURS]
    return Record(dead_letter_topic(letter.topic), letter.key, letter.body, (*theirs, *ours))


def retries(headers: Headers) -> int:
    """How often a record has been sent back to its topic."""
    return max(whole((dict(headers).get(RETRY_COUNT) or b"").decode(errors="replace")) or 0, 0)


class DeadLetterQueue:
    """Writes dead letters. An async context manager."""

    def __init__(self, settings: Settings) -> None:
        self._producer = AckedProducer(settings)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._producer.close()

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        """Returns once every letter is kept by all replicas in sync. It waits for brokers that are away, and for a
        topic that is missing: what is given up must be somewhere. Raises `memory_graph.kafka.producer.Closed`."""
        records = [record_of(letter) for letter in letters]
        refused = await self._producer.send(records)
        for place, error in refused.items():
            _tell(records[place], error)
            await self._send_alone(records[place])

    async def _send_alone(self, record: Record) -> None:
        """Where one is refused for its size, those it was sent together with are too."""
        while refused := await self._producer.send([record]):
            error = refused[0]
            _tell(record, error)
            if error.code() in _TOO_LARGE and record.body:
                record = _without_body(record)
            else:
                await asyncio.sleep(_PAUSE_S)


def _tell(record: Record, error: KafkaError) -> None:
    _log.error("dead letter refused", topic=record.topic, reason=error.str())


def _without_body(record: Record) -> Record:
    size = (OMITTED, b"%d" % len(record.body or b""))
    return msgspec.structs.replace(record, body=b"", headers=(*record.headers, size))
