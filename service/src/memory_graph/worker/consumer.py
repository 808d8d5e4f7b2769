"""A member of the consumer group: it reads records while there is room for them, pauses its partitions while there is
none, and stays in the group meanwhile. Offsets are committed after the store's commit.

One thread calls the client library; the state of the offsets belongs to the event loop.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from memory_graph.config import Settings
from memory_graph.kafka.connectivity import topic_metadata
from memory_graph.kafka.settings import consumer_settings
from memory_graph.worker.consumer_record import parse_record
from memory_graph.worker.offset_commits import OffsetCommits
from memory_graph.worker.offsets import InFlightRange, Offsets, Partition
from memory_graph.worker.record_processor import RecordProcessor
from memory_graph.worker.thread import ClientThread

MAX_BATCHES_IN_FLIGHT = 4
"""Full batches between Kafka and the store: one is committed, one is written, and others wait for their turn."""
MAX_BYTES_IN_FLIGHT = 16 * 1024 * 1024
"""Bound of the bodies of records in flight: at more, no batch is read. One batch may exceed it."""
_POLL_S = 0.2
_PAUSE_AFTER_S = 1.0
"""How long there may be no room until partitions are paused: a pause discards the prefetched records."""
_DRAIN_TIMEOUT_S = 5.0
"""How long a revocation waits for the records in flight, so that the new owner need not process them again."""
_LEAVE_TIMEOUT_S = 5.0
"""How long brokers may take for the last commit and for leaving the group."""
_NO_ANSWER = "Kafka does not answer"
_log = structlog.get_logger(__name__)


MIN_BATCH_SIZE = 50
"""Smaller batches are not worth a round trip."""
_QUICK_S, _SLOW_S = 0.5, 2.0
_GROWTH = 1.25


class ConsumerFailed(Exception):
    """The client library has failed for good; the text says why."""


class AdaptiveBatchSize:
    """The number of records of a batch: as many as the store takes within about a second (contract §3, adaptive). It
    halves after a batch that was slow, and grows by a quarter after one that was full and quick.

    limit: the setting KAFKA_MAX_POLL_RECORDS, the size at the start and the largest one.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.records = limit

    def observe(self, records: int, seconds: float) -> None:
        """Adjust the size to a batch whose records were durable after so many seconds."""
        if seconds > _SLOW_S:
            self.records = max(self.records // 2, min(MIN_BATCH_SIZE, self._limit))
        elif seconds < _QUICK_S and records >= self.records:
            self.records = min(int(self.records * _GROWTH) + 1, self._limit)


class GroupMember:
    """Reads the topics of the settings until it is stopped. Created on the event loop that it is used on.

    paused: whether it reads nothing because there is no room. assigned: its partitions. joined: whether the group has
    assigned partitions to it, or none, as yet.
    """

    def __init__(self, settings: Settings, processor: RecordProcessor) -> None:
        self._settings = settings
        self._processor = processor
        self._offsets = Offsets()
        self._batch_size = AdaptiveBatchSize(settings.kafka_max_poll_records)
        self._loop = asyncio.get_running_loop()
        self._thread = ClientThread("kafka-consumer")
        self._commits = OffsetCommits(self._offsets, self._loop.time)
        self._consumer = Consumer(
            consumer_settings(settings) | {"error_cb": self._on_error, "on_commit": self._commit_answered}
        )
        self.paused = False
        self._reported_errors: set[int] = set()
        self.assigned: frozenset[Partition] = frozenset()
        self.joined = False

    async def join(self) -> None:
        """Join the group. Raises `KafkaUnreachable` or `UnknownTopic`."""
        topics = list(self._settings.kafka_topics)
        await self._thread.call(lambda: topic_metadata(self._consumer, self._settings, topics))
        await self._thread.call(
            lambda: self._consumer.subscribe(topics, on_assign=self._assign, on_revoke=self._revoke, on_lost=self._lose)
        )

    async def run(self, stopping: asyncio.Event) -> None:
        """Read records until `stopping` is set. Raises `ConsumerFailed`."""
        while not stopping.is_set():
            if not self.paused and not await self._processor.wait_until(self._has_room, _PAUSE_AFTER_S):
                await self._thread.call(self._pause)
            if self.paused and self._has_room(share=2):
                await self._thread.call(self._resume)
            self._submit(await self._thread.call(partial(self._poll_batch, self._commits.due())))

    async def leave(self, seconds: float) -> None:
        """Wait for the records in flight, for at most so many seconds, commit their offsets and leave the group."""
        if not await self._processor.wait_until(lambda: not self._processor.in_flight, seconds):
            _log.warning("records are left to be read again", count=self._processor.in_flight)
        limit, reason = self._loop.time() + _LEAVE_TIMEOUT_S, _NO_ANSWER
        with suppress(TimeoutError):
            async with asyncio.timeout_at(limit):
                reason = await self._commit_last()
        try:
            async with asyncio.timeout_at(limit):  # in any case: a consumer that is not closed holds up the process
                await self._thread.call(self._consumer.close)
        except TimeoutError:
            reason = reason or _NO_ANSWER
        if reason:
            _log.warning("the last offsets are not committed: their records are read again", reason=reason)
        self._thread.end()

    async def _commit_last(self) -> str:
        """Commit the last offsets; returns the reason of a refusal, or an empty text."""
        await self._until_answered()
        await self._thread.call(partial(self._commit_async, self._commits.begin()))
        await self._until_answered()
        return "" if self._commits.refusal is None else self._commits.refusal.str()

    async def _until_answered(self) -> None:
        while self._commits.in_flight:
            await self._thread.call(lambda: self._consumer.poll(_POLL_S))  # records that it returns are read again

    def _has_room(self, share: int = 1) -> bool:
        """Whether another batch fits into the bounds divided by `share`."""
        size = self._batch_size.records
        fits = self._processor.in_flight + size <= MAX_BATCHES_IN_FLIGHT * size // share
        return fits and self._processor.bytes <= MAX_BYTES_IN_FLIGHT // share

    def _submit(self, messages: Sequence[Message]) -> None:
        batch = [parse_record(message) for message in messages if not self._is_error(message)]
        # Records of a partition that was revoked during the poll are its new owner's: their offsets, committed here,
        # would be past those of earlier batches in flight.
        records = [record for record in batch if record.partition_key in self.assigned]
        if not records:
            return
        self._reported_errors.clear()
        next_offsets: dict[Partition, int] = defaultdict(int)
        for record in records:
            next_offsets[record.partition_key] = record.offset + 1
        ranges = [self._offsets.begin(partition, offset) for partition, offset in next_offsets.items()]
        self._processor.put(records, self._completion_callback(ranges, len(records)))

    def _completion_callback(self, ranges: Sequence[InFlightRange], count: int) -> Callable[[float], None]:
        def done(seconds: float) -> None:
            for in_flight in ranges:
                self._offsets.end(in_flight)
            self._batch_size.observe(count, seconds)

        return done

    def _is_error(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return False
        if error.fatal():
            raise ConsumerFailed(f"the Kafka client has given up: {error.str()}")
        _log.warning("Kafka says", reason=error.str(), topic=message.topic(), partition=message.partition())
        return True

    # Called by the thread: on the loop, a commit would wait for a rebalance that waits for the loop.

    def _poll_batch(self, offsets: Mapping[Partition, int]) -> list[Message]:
        self._commit_async(offsets)
        first = self._consumer.poll(_POLL_S)
        if first is None:
            return []
        more = self._batch_size.records - 1
        return [first, *self._consumer.consume(more, 0)] if more else [first]

    def _pause(self) -> None:
        self.paused = True
        self._consumer.pause(self._consumer.assignment())
        _log.warning("paused: there is no room for more", under_way=self._processor.in_flight)

    def _resume(self) -> None:
        self.paused = False
        self._consumer.resume(self._consumer.assignment())
        _log.info("resumed")

    def _commit_async(self, offsets: Mapping[Partition, int]) -> None:
        """Commit offsets; a later poll brings the answer. A commit that waited for it would hold up all polls."""
        if not offsets:
            return
        try:
            self._consumer.commit(offsets=_topic_partitions(offsets), asynchronous=True)
        except KafkaException as raised:
            self._commit_answered(raised.args[0], ())

    def _commit_answered(self, error: KafkaError | None, partitions: Sequence[TopicPartition]) -> None:
        errors = (error for error in (error, *(partition.error for partition in partitions)) if error is not None)
        self._loop.call_soon_threadsafe(self._commits.answered, next(errors, None))

    def _commit_revoked(self, offsets: Mapping[Partition, int]) -> None:
        """Commit the offsets of revoked partitions, so that their new owner goes on from there."""
        if not offsets:
            return
        try:
            self._consumer.commit(offsets=_topic_partitions(offsets), asynchronous=False)
        except KafkaException as raised:
            reason = raised.args[0].str()
            _log.warning("partitions go without their last offsets: their records are read again", reason=reason)

    def _assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign(partitions)
        if self.paused and partitions:
            consumer.pause(partitions)
        self._loop.call_soon_threadsafe(self._on_assigned, frozenset(map(_partition, partitions)))

    def _revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        revoked = frozenset(map(_partition, partitions))
        self._commit_revoked(asyncio.run_coroutine_threadsafe(self._drain_revoked(revoked), self._loop).result())
        consumer.incremental_unassign(partitions)

    def _lose(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_unassign(partitions)
        self._loop.call_soon_threadsafe(self._on_revoked, frozenset(map(_partition, partitions)))

    def _on_error(self, error: KafkaError) -> None:
        if error.code() not in self._reported_errors:
            self._reported_errors.add(error.code())
            _log.warning("Kafka says", reason=error.str())

    # Called by the loop, on behalf of the thread.

    def _on_assigned(self, partitions: frozenset[Partition]) -> None:
        self.joined = True
        self.assigned |= partitions
        _log.info("partitions assigned", got=len(partitions), now=len(self.assigned))

    def _on_revoked(self, partitions: frozenset[Partition]) -> None:
        self._offsets.forget(partitions)
        self.assigned -= partitions
        _log.info("partitions given up", lost=len(partitions), now=len(self.assigned))

    async def _drain_revoked(self, partitions: frozenset[Partition]) -> dict[Partition, int]:
        def at_rest() -> bool:
            """Also when the processor has abandoned its records: their ranges never end."""
            return not self._processor.in_flight or not self._offsets.in_flight(partitions)

        await self._processor.wait_until(at_rest, _DRAIN_TIMEOUT_S)
        offsets = self._offsets.committable(partitions)
        self._on_revoked(partitions)
        return offsets


def _partition(partition: TopicPartition) -> Partition:
    return partition.topic, partition.partition


def _topic_partitions(offsets: Mapping[Partition, int]) -> list[TopicPartition]:
    return [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]
