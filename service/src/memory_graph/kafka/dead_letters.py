"""Writing dead letters: records that can never be stored, kept whole in `<topic>-dlq` with their origin and the reason
(contract §3).

The header x-retry-count is how often a record has been sent back to its topic (`memory-graph dlq redrive`) before it
failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Self

import msgspec
import structlog
from confluent_kafka import KafkaError

from memory_graph.config import Settings
from memory_graph.kafka.producer import AckedProducer, Headers, ProducerRecord
from memory_graph.model.numbers import whole

SUFFIX = "-dlq"
ORIGINAL_TOPIC, ORIGINAL_PARTITION, ORIGINAL_OFFSET = "x-original-topic", "x-original-partition", "x-original-offset"
FAILURE_REASON, RETRY_COUNT = "x-failure-reason", "x-retry-count"
BODY_OMITTED = "x-body-omitted"
"""The size of a body that did not fit; it is in the original topic as long as that keeps it."""
DLQ_HEADERS = frozenset(
    {ORIGINAL_TOPIC, ORIGINAL_PARTITION, ORIGINAL_OFFSET, FAILURE_REASON, RETRY_COUNT, BODY_OMITTED}
)
"""The headers that make a record a dead letter; the others are those of the record that failed."""
_RETRY_INTERVAL_S = 5.0
_TOO_LARGE = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE)
_log = structlog.get_logger(__name__)


class RejectedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record that becomes a dead letter. topic: the one it was read from; of a record that did not come by Kafka, the
    one that others of its type come by (then partition and offset are -1). reason: a label for counting
    (`Rejected.reason`). sentence: describes the problem, without content."""

    topic: str
    partition: int = -1
    offset: int = -1
    key: bytes | None
    body: bytes | None
    headers: Headers = ()
    reason: str
    sentence: str


def dead_letter_topic(topic: str) -> str:
    """Return the topic that keeps the dead letters of a topic."""
    return topic + SUFFIX


def dlq_record(rejected: RejectedRecord) -> ProducerRecord:
    """Make the record of a dead letter: key, body and headers as they were, and DLQ_HEADERS."""
    added = (
        (ORIGINAL_TOPIC, rejected.topic.encode()),
        (ORIGINAL_PARTITION, b"%d" % rejected.partition),
        (ORIGINAL_OFFSET, b"%d" % rejected.offset),
        (FAILURE_REASON, f"{rejected.reason}: {rejected.sentence}".encode()),
        (RETRY_COUNT, b"%d" % retry_count(rejected.headers)),
    )
    headers = [(name, value) for name, value in rejected.headers if name not in DLQ_HEADERS]
    return ProducerRecord(dead_letter_topic(rejected.topic), rejected.key, rejected.body, (*headers, *added))


def retry_count(headers: Headers) -> int:
    """Return how often a record has been sent back to its topic."""
    return max(whole((dict(headers).get(RETRY_COUNT) or b"").decode(errors="replace")) or 0, 0)


class DeadLetterQueue:
    """Writes dead letters. An async context manager."""

    def __init__(self, settings: Settings) -> None:
        self._producer = AckedProducer(settings)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._producer.close()

    async def send(self, rejected: Sequence[RejectedRecord]) -> None:
        """Write dead letters; returns once all replicas in sync have them. Waits for brokers that are away, and for a
        topic that is missing, so that no record is lost. Raises `memory_graph.kafka.producer.ProducerClosed`."""
        records = [dlq_record(record) for record in rejected]
        refused = await self._producer.send(records)
        for index, error in refused.items():
            _log_refusal(records[index], error)
            await self._send_alone(records[index])

    async def _send_alone(self, record: ProducerRecord) -> None:
        """Write a record that was refused: its own size may be the cause, or that of another in its batch."""
        while refused := await self._producer.send([record]):
            error = refused[0]
            _log_refusal(record, error)
            if error.code() in _TOO_LARGE and record.body:
                record = _without_body(record)
            else:
                await asyncio.sleep(_RETRY_INTERVAL_S)


def _log_refusal(record: ProducerRecord, error: KafkaError) -> None:
    _log.error("dead letter refused", topic=record.topic, reason=error.str())


def _without_body(record: ProducerRecord) -> ProducerRecord:
    size = (BODY_OMITTED, b"%d" % len(record.body or b""))
    return msgspec.structs.replace(record, body=b"", headers=(*record.headers, size))
