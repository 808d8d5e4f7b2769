"""The publisher of the change feed: it reads commits from the store's log, writes them to Kafka, and moves its cursor.

The log is the outbox (transactional outbox pattern): each transaction writes its commit to it, so nothing is lost
between the two systems. The cursor is in the store, and moves once every replica in sync has the records: those of a
publisher that dies in between are written again, under the same ids. One process at a time holds the cursor; a claim
lapses after CLAIM_S.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

import structlog
from confluent_kafka import KafkaError, KafkaException
from prometheus_client import CollectorRegistry, Counter, Gauge

from memory_graph.config import Settings, SettingsError
from memory_graph.kafka.change_events import records_of
from memory_graph.kafka.producer import AckedProducer, ProducerRecord
from memory_graph.model.errors import GraphError
from memory_graph.model.ids import new_id
from memory_graph.store.commits import CommitLog, CommitPage
from memory_graph.store.protocol import Spawn

READER = "kafka"
"""The cursor's name."""
MAX_BATCH_EVENTS = 5_000
"""About the largest number of events in a batch, which is written and acknowledged as a whole."""
POLL_S = 0.25
"""How often the log is read for new commits."""
CLAIM_S, RENEW_S = 15.0, 5.0
"""How long a publisher that has died holds the cursor; how often a live one renews its claim, or another tries for
it."""
_MIN_BACKOFF_S, _MAX_BACKOFF_S = 1.0, 30.0
_log = structlog.get_logger(__name__)

Send = Callable[[Iterable[ProducerRecord]], Awaitable[Mapping[int, KafkaError]]]
"""Writes records and returns the errors of those that were refused, by index."""


class OutboxMetrics:
    """Metrics of the published change feed. In a process that does not publish, all of them stay 0."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.published = Counter(
            "memory_graph_change_feed_published_total", "Events written to the change feed in Kafka", registry=registry
        )
        self.lost = Counter(
            "memory_graph_change_feed_lost_commits_total",
            "Commits that the store no longer kept when they were to be published",
            registry=registry,
        )
        self.lag = Gauge("memory_graph_change_feed_lag_commits", "Commits that are not in Kafka yet", registry=registry)


@asynccontextmanager
async def running(
    store: CommitLog, settings: Settings, registry: CollectorRegistry, spawn: Spawn
) -> AsyncIterator[None]:
    """Publish in a task of its own inside the block, if Kafka and a topic for it are set. spawn: starts that task."""
    if not settings.kafka_bootstrap_servers or not settings.kafka_events_topic:
        yield
        return
    producer = AckedProducer(settings)
    publisher = Publisher(store, producer.send, settings.kafka_events_topic, OutboxMetrics(registry))
    task = spawn(publisher.run(), "outbox")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await producer.close()
        await publisher.release()


class Publisher:
    """Writes commits as events to a topic, in order, from the cursor on."""

    def __init__(self, log: CommitLog, send: Send, topic: str, metrics: OutboxMetrics) -> None:
        self._commits = log
        self._send = send
        self._topic = topic
        self._metrics = metrics
        self._holder = new_id()
        self._claimed_at = 0.0
        self._backoff = _MIN_BACKOFF_S

    async def run(self) -> None:
        """Publish until it is cancelled. Waits for a store or broker that is away, and for files of credentials that
        cannot be read just now."""
        while True:
            try:
                done = await self._claim()
                if done is None:
                    await asyncio.sleep(RENEW_S)
                    continue
                _log.info("publishing the change feed", topic=self._topic, after_commit=done)
                await self._publish(done)
                _log.info("another process publishes the change feed")
            except (GraphError, KafkaException, SettingsError, OSError, _EventsRefused) as error:
                _log.error("the change feed waits", topic=self._topic, reason=str(error), seconds=self._backoff)
                await asyncio.sleep(self._backoff)
                self._backoff = min(self._backoff * 2, _MAX_BACKOFF_S)
            finally:
                self._metrics.lag.set(0)

    async def release(self) -> None:
        """Release the cursor, so that another process takes over at once."""
        try:
            await self._commits.release_cursor(READER, self._holder)
        except GraphError:
            return  # the claim lapses by itself

    async def _publish(self, done: int) -> None:
        """Publish from a commit on; returns when another process has the cursor."""
        while True:
            batch = await self._commits.commits(done, MAX_BATCH_EVENTS)
            done = self._skip_dropped(done, batch)
            self._metrics.lag.set(batch.newest - done)
            if not batch.commits:
                await asyncio.sleep(POLL_S)
            elif await self._write(batch, done):
                done = batch.commits[-1].seq
                if not await self._commits.move_cursor(READER, self._holder, done):
                    return
                self._backoff = _MIN_BACKOFF_S
                self._metrics.published.inc(sum(len(commit.events) for commit in batch.commits))
            else:
                return
            if time.monotonic() - self._claimed_at > RENEW_S and await self._claim() is None:
                return

    async def _write(self, batch: CommitPage, done: int) -> bool:
        """Write a batch. Returns False when another process has claimed the cursor meanwhile."""
        sending = asyncio.ensure_future(self._send(records_of(batch.commits, self._topic)))
        try:
            while not (await asyncio.wait({sending}, timeout=RENEW_S))[0]:
                if await self._claim() is None:
                    return False
                ahead = await self._commits.commits(batch.commits[-1].seq, 1)
                self._metrics.lag.set(ahead.newest - done)
            refused = sending.result()
        finally:
            sending.cancel()
        if refused:
            error = next(iter(refused.values()))
            raise _EventsRefused(f"Kafka refuses {len(refused)} events of topic {self._topic}: {error.str()}")
        return True

    async def _claim(self) -> int | None:
        self._claimed_at = time.monotonic()
        return await self._commits.claim_cursor(READER, self._holder, CLAIM_S)

    def _skip_dropped(self, done: int, batch: CommitPage) -> int:
        """Return the commit to go on after. Commits that the store no longer keeps are counted and logged: their events
        cannot be published."""
        if batch.dropped <= done:
            return done
        if done:
            lost = batch.dropped - done
            self._metrics.lost.inc(lost)
            _log.error(
                "commits were dropped before they were published; whoever follows the change feed must read the graph"
                " again, and FEED_RETENTION_COMMITS must cover the longest time that Kafka may be away",
                commits=lost,
                first=done + 1,
                last=batch.dropped,
            )
        else:
            _log.info("the change feed begins with what the store still keeps", first_commit=batch.dropped + 1)
        return batch.dropped


class _EventsRefused(Exception):
    """The brokers answer, and refuse the events."""
