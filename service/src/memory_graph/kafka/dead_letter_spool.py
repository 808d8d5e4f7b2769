"""Dead letters of events that did not come by Kafka, or expired after their acknowledgement. They go to the `-dlq`
topic of their type, so that one list has all of them and a redrive sends them to the workers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Self

import structlog

from memory_graph.config import Settings
from memory_graph.ingest.dead_letters import ExpiredHandler, RejectedHandler
from memory_graph.ingest.telemetry.events import Rejected
from memory_graph.ingest.topics import topic_of
from memory_graph.kafka.dead_letters import DeadLetterQueue, RejectedRecord
from memory_graph.kafka.producer import ProducerClosed

MAX_SPOOL_BYTES = 16 * 1024 * 1024
"""Bound of the rejected events that are not in Kafka yet."""
_FLUSH_TIMEOUT_S = 5.0
_RECORD_OVERHEAD_BYTES = 1024
_log = structlog.get_logger(__name__)


def rejected_record(rejected: Rejected, tenant: str, topics: Mapping[str, str]) -> RejectedRecord:
    """Make the record of a rejected event. topics: the configured names of topics, by the contract's names."""
    topic = topic_of(rejected.event_type)
    return RejectedRecord(
        topic=topics.get(topic, topic),
        key=rejected.event_id.encode() or None,
        body=rejected.body,
        headers=(("tenant-id", tenant.encode()), ("content-type", rejected.content_type.encode())),
        reason=rejected.reason,
        sentence=str(rejected),
    )


def expired(queue: DeadLetterQueue, settings: Settings, count: RejectedHandler) -> ExpiredHandler:
    """Make the sink for acknowledged events that expired: it returns once they are in the dead letters."""
    topics = _configured_names(settings)

    async def take(tenant: str, rejected: Sequence[Rejected]) -> None:
        await queue.send([rejected_record(event, tenant, topics) for event in rejected])
        count(rejected)

    return take


class DeadLetterSpool:
    """A bounded queue of events that were never acknowledged: their senders get the error at once, and do not wait for
    Kafka. While Kafka is away events are held up to `MAX_SPOOL_BYTES`; the rest is counted and logged alone. An async
    context manager.

    task: writes them, until the context ends.
    """

    def __init__(self, settings: Settings, count: RejectedHandler, tenant: str) -> None:
        self._count = count
        self._tenant = tenant
        self._topics = _configured_names(settings)
        self._queue = DeadLetterQueue(settings)
        self._records: deque[RejectedRecord] = deque()
        self._bytes = 0
        self._full = False
        self._arrived = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self._queue.__aenter__()
        self.task = asyncio.create_task(self._write(), name="rejections")
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._records.append(_END)
        self._arrived.set()
        await asyncio.wait({self.task}, timeout=_FLUSH_TIMEOUT_S)
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self._queue.__aexit__()

    def add(self, rejected: Sequence[Rejected]) -> None:
        """Count rejected events, and queue those that fit. It is the `RejectedHandler` of a pipeline."""
        self._count(rejected)
        dropped = 0
        for event in rejected:
            record = rejected_record(event, self._tenant, self._topics)
            size = _size(record)
            if self._bytes + size > MAX_SPOOL_BYTES:
                dropped += 1
                continue
            self._bytes += size
            self._records.append(record)
        if dropped and not self._full:
            _log.error("rejected events are not kept: Kafka has not taken those before", bytes=self._bytes,
                       count=dropped)  # fmt: skip
        self._full = bool(dropped)
        self._arrived.set()

    async def _write(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            records = list(self._records)
            self._records.clear()
            ended = bool(records) and records[-1] is _END
            await self._send([record for record in records if record is not _END])
            if ended:
                return

    async def _send(self, records: Sequence[RejectedRecord]) -> None:
        """Write records together, and each alone where that fails: one that cannot be written must not stop the others.
        A record that is written twice is harmless."""
        if not records:
            return
        try:
            await self._queue.send(records)
        except ProducerClosed:
            raise
        except Exception as error:  # noqa: BLE001 - later records are still to be written
            _log.error("dead letters not written", count=len(records), error_type=type(error).__name__, exc_info=error)
            if len(records) > 1:
                for record in records:
                    await self._send([record])
                return
        self._bytes -= sum(map(_size, records))


_END = RejectedRecord(topic="", key=None, body=None, reason="", sentence="")


def _size(record: RejectedRecord) -> int:
    return len(record.body or b"") + _RECORD_OVERHEAD_BYTES


def _configured_names(settings: Settings) -> dict[str, str]:
    return {contract: name for name, contract in settings.kafka_topics.items()}
