"""The member of the consumer group: takes records while there is room for them, pauses its partitions while there is
none, and stays in the group all the while. Offsets are committed after the store's commit.

The client library is called by one thread; what is known of offsets belongs to the event loop.
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
from memory_graph.kafka.reach import known
from memory_graph.kafka.settings import consumer_settings
from memory_graph.worker.commits import OffsetCommits
from memory_graph.worker.intake import Intake
from memory_graph.worker.offsets import Offsets, Partition, Span
from memory_graph.worker.pace import Pace
from memory_graph.worker.received import received
from memory_graph.worker.thread import ClientThread

TAKES_UNDER_WAY = 4
"""Full takes between Kafka and the store: one is committed, one is made, and there is something left meanwhile."""
BYTES_UNDER_WAY = 16 * 1024 * 1024
"""Of bodies as they were read: where these hold more, nothing is taken. One take may go beyond it."""
_POLL_S = 0.2
_PATIENCE_S = 1.0
"""How long there may be no room until partitions are paused: a pause throws away what was fetched ahead."""
_HAND_OVER_S = 5.0
"""How long a partition that goes to another process waits for its records under way: it needs not do them again."""
_FAREWELL_S = 5.0
"""How long brokers may take for the last commit and the goodbye."""
_NO_ANSWER = "Kafka does not answer"
_log = structlog.get_logger(__name__)


class ConsumerFailed(Exception):
    """The client library has given up; the text says why."""


class GroupMember:
    """Reads the topics of the settings until it is told to stop. Made on the event loop that it is used on.

    paused: whether it takes nothing for want of room. assigned: the partitions it has. joined: whether the group has
    given it any, or said that there are none for it.
    """

    def __init__(self, settings: Settings, intake: Intake) -> None:
        self._settings = settings
        self._intake = intake
        self._offsets = Offsets()
        self._pace = Pace(settings.kafka_max_poll_records)
        self._loop = asyncio.get_running_loop()
        self._thread = ClientThread("kafka-consumer")
        self._commits = OffsetCommits(self._offsets, self._loop.time)
        self._consumer = Consumer(
            consumer_settings(settings) | {"error_cb": self._heard, "on_commit": self._commit_answered}
        )
        self.paused = False
        self._told: set[int] = set()
        self.assigned: frozenset[Partition] = frozenset()
        self.joined = False

    async def join(self) -> None:
        """Raises `KafkaUnreachable` or `UnknownTopic`."""
        topics = list(self._settings.kafka_topics)
        await self._thread.call(lambda: known(self._consumer, self._settings, topics))
        await self._thread.call(
            lambda: self._consumer.subscribe(topics, on_assign=self._assign, on_revoke=self._revoke, on_lost=self._lose)
        )

    async def run(self, stopping: asyncio.Event) -> None:
        """Takes records until `stopping` is set. Raises `ConsumerFailed`."""
        while not stopping.is_set():
            if not self.paused and not await self._intake.until(self._has_room, _PATIENCE_S):
                await self._thread.call(self._pause)
            if self.paused and self._has_room(share=2):
                await self._thread.call(self._resume)
            self._put(await self._thread.call(partial(self._take, self._commits.due())))

    async def leave(self, seconds: float) -> None:
        """Waits for what is under way, for at most so many seconds, commits it and leaves the group."""
        if not await self._intake.until(lambda: not self._intake.under_way, seconds):
            _log.warning("records are left to be read again", count=self._intake.under_way)
        limit, reason = self._loop.time() + _FAREWELL_S, _NO_ANSWER
        with suppress(TimeoutError):
            async with asyncio.timeout_at(limit):
                reason = await self._commit_last()
        try:
            async with asyncio.timeout_at(limit):  # begun in any case: one that nobody closes holds up the process
                await self._thread.call(self._consumer.close)
        except TimeoutError:
            reason = reason or _NO_ANSWER
        if reason:
            _log.warning("the last offsets are not committed: their records are read again", reason=reason)
        self._thread.end()

    async def _commit_last(self) -> str:
        """Yields why the last offsets are refused; empty where they are not."""
        await self._until_answered()
        await self._thread.call(partial(self._commit_soon, self._commits.begin()))
        await self._until_answered()
        return "" if self._commits.refusal is None else self._commits.refusal.str()

    async def _until_answered(self) -> None:
        while self._commits.under_way:
            await self._thread.call(lambda: self._consumer.poll(_POLL_S))  # a record it gives is read again

    def _has_room(self, share: int = 1) -> bool:
        """Whether another take fits into the bounds, or into such a share of them."""
        records = self._intake.under_way + self._pace.records <= TAKES_UNDER_WAY * self._pace.records // share
        return records and self._intake.bytes <= BYTES_UNDER_WAY // share

    def _put(self, messages: Sequence[Message]) -> None:
        taken = [received(message) for message in messages if not self._is_error(message)]
        # Of a partition given up in the middle of the take the records are its new owner's: counted here, they would be
        # committed past what is still under way of takes before.
        records = [record for record in taken if record.place in self.assigned]
        if not records:
            return
        self._told.clear()
        following: dict[Partition, int] = defaultdict(int)
        for record in records:
            following[record.place] = record.offset + 1
        spans = [self._offsets.begin(partition, offset) for partition, offset in following.items()]
        self._intake.put(records, self._ender(spans, len(records)))

    def _ender(self, spans: Sequence[Span], count: int) -> Callable[[float], None]:
        def done(seconds: float) -> None:
            for span in spans:
                self._offsets.end(span)
            self._pace.learn(count, seconds)

        return done

    def _is_error(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return False
        if error.fatal():
            raise ConsumerFailed(f"the Kafka client has given up: {error.str()}")
        _log.warning("Kafka says", reason=error.str(), topic=message.topic(), partition=message.partition())
        return True

    # What follows is called by the thread: from the loop, a commit would wait for a rebalance that waits for the loop.

    def _take(self, offsets: Mapping[Partition, int]) -> list[Message]:
        self._commit_soon(offsets)
        first = self._consumer.poll(_POLL_S)
        if first is None:
            return []
        more = self._pace.records - 1
        return [first, *self._consumer.consume(more, 0)] if more else [first]

    def _pause(self) -> None:
        self.paused = True
        self._consumer.pause(self._consumer.assignment())
        _log.warning("paused: there is no room for more", under_way=self._intake.under_way)

    def _resume(self) -> None:
        self.paused = False
        self._consumer.resume(self._consumer.assignment())
        _log.info("resumed")

    def _commit_soon(self, offsets: Mapping[Partition, int]) -> None:
        """Polls bring the answer. A commit that waited for it here, or in another thread, would hold up all polls."""
        if not offsets:
            return
        try:
            self._consumer.commit(offsets=_wire(offsets), asynchronous=True)
        except KafkaException as raised:
            self._commit_answered(raised.args[0], ())

    def _commit_answered(self, error: KafkaError | None, partitions: Sequence[TopicPartition]) -> None:
        errors = (one for one in (error, *(partition.error for partition in partitions)) if one is not None)
        self._loop.call_soon_threadsafe(self._commits.answered, next(errors, None))

    def _commit_given_up(self, offsets: Mapping[Partition, int]) -> None:
        """Of partitions that go to another process: their new owner is to go on where this one ends."""
        if not offsets:
            return
        try:
            self._consumer.commit(offsets=_wire(offsets), asynchronous=False)
        except KafkaException as raised:
            reason = raised.args[0].str()
            _log.warning("partitions go without their last offsets: their records are read again", reason=reason)

    def _assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign(partitions)
        if self.paused and partitions:
            consumer.pause(partitions)
        self._loop.call_soon_threadsafe(self._has, frozenset(map(_place, partitions)))

    def _revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        going = frozenset(map(_place, partitions))
        self._commit_given_up(asyncio.run_coroutine_threadsafe(self._hand_over(going), self._loop).result())
        consumer.incremental_unassign(partitions)

    def _lose(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_unassign(partitions)
        self._loop.call_soon_threadsafe(self._has_lost, frozenset(map(_place, partitions)))

    def _heard(self, error: KafkaError) -> None:
        if error.code() not in self._told:
            self._told.add(error.code())
            _log.warning("Kafka says", reason=error.str())

    # And this by the loop, for the thread.

    def _has(self, partitions: frozenset[Partition]) -> None:
        self.joined = True
        self.assigned |= partitions
        _log.info("partitions assigned", got=len(partitions), now=len(self.assigned))

    def _has_lost(self, partitions: frozenset[Partition]) -> None:
        self._offsets.forget(partitions)
        self.assigned -= partitions
        _log.info("partitions given up", lost=len(partitions), now=len(self.assigned))

    async def _hand_over(self, partitions: frozenset[Partition]) -> dict[Partition, int]:
        def at_rest() -> bool:
            """Also where what was taken has been left: then its spans stay open."""
            return not self._intake.under_way or not self._offsets.under_way(partitions)

        await self._intake.until(at_rest, _HAND_OVER_S)
        done = self._offsets.committable(partitions)
        self._has_lost(partitions)
        return done


def _place(partition: TopicPartition) -> Partition:
    return partition.topic, partition.partition


def _wire(offsets: Mapping[Partition, int]) -> list[TopicPartition]:
    return [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]
