"""The change feed on its way to Kafka: what the store has committed is read from its log, written, and only then done.

The log is the outbox: a commit is in it from its own transaction, so nothing is lost between the two systems. The
cursor is in the store, and moves once every replica in sync has the records: a publisher that dies in between leaves
them to be written again, under the same ids. One process at a time holds the cursor; a claim lapses after CLAIM_S.
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
from memory_graph.kafka.producer import AckedProducer, Record
from memory_graph.model.errors import GraphError
from memory_graph.model.ids import new_id
from memory_graph.store.commits import CommitLog, Commits
from memory_graph.store.protocol import Spawn

READER = "kafka"
"""The cursor's name."""
MOST_EVENTS = 5_000
"""About the events of one batch: written, acknowledged, done."""
POLL_S = 0.25
"""How long a commit may wait to be seen."""
CLAIM_S, RENEW_S = 15.0, 5.0
"""How long a publisher that is gone holds the cursor; how often one that is there says so, or one that waits asks."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0
_log = structlog.get_logger(__name__)

Send = Callable[[Iterable[Record]], Awaitable[Mapping[int, KafkaError]]]
"""Returns once all is written, with what was refused."""


class OutboxMetrics:
    """How the change feed goes out. In a process that does not publish, all of it stays 0."""

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
    """Publishes in a task of its own inside the block, if Kafka and a topic for it are set. spawn: starts that task."""
    if not settings.kafka_bootstrap_servers or not settings.kafka_events_topic:
        yield
        return
    producer = AckedProducer(settings)
    publisher = Publisher(store, producer.send, settings.kafka_events_topic, OutboxMetrics(registry))
    publishing = spawn(publisher.run(), "outbox")
    try:
        yield
    finally:
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
        await producer.close()
        await publisher.let_go()


class Publisher:
    """Writes commits as events to a topic, in order, from the cursor on."""

    def __init__(self, log: CommitLog, send: Send, topic: str, metrics: OutboxMetrics) -> None:
        self._commits = log
        self._send = send
        self._topic = topic
        self._metrics = metrics
        self._holder = new_id()
        self._claimed_at = 0.0
        self._pause = _FIRST_PAUSE_S

    async def run(self) -> None:
        """Until it is cancelled. A store or broker that is away is waited for, and files of credentials that cannot be
        read just now."""
        while True:
            try:
                done = await self._claim()
                if done is None:
                    await asyncio.sleep(RENEW_S)
                    continue
                _log.info("publishing the change feed", topic=self._topic, after_commit=done)
                await self._publish(done)
                _log.info("another process publishes the change feed")
            except (GraphError, KafkaException, SettingsError, OSError, _Refused) as error:
                _log.error("the change feed waits", topic=self._topic, reason=str(error), seconds=self._pause)
                await asyncio.sleep(self._pause)
                self._pause = min(self._pause * 2, _LONGEST_PAUSE_S)
            finally:
                self._metrics.lag.set(0)

    async def let_go(self) -> None:
        """Lets another process go on at once."""
        try:
            await self._commits.release_cursor(READER, self._holder)
        except GraphError:
            return  # the claim lapses by itself

    async def _publish(self, done: int) -> None:
        """Returns when another process has the cursor."""
        while True:
            found = await self._commits.commits(done, MOST_EVENTS)
            done = self._past_what_is_gone(done, found)
            self._metrics.lag.set(found.newest - done)
            if not found.commits:
                await asyncio.sleep(POLL_S)
            elif await self._written(found, done):
                done = found.commits[-1].seq
                if not await self._commits.move_cursor(READER, self._holder, done):
                    return
                self._pause = _FIRST_PAUSE_S
                self._metrics.published.inc(sum(len(commit.events) for commit in found.commits))
            else:
                return
            if time.monotonic() - self._claimed_at > RENEW_S and await self._claim() is None:
                return

    async def _written(self, found: Commits, done: int) -> bool:
        """Whether all is written; False: another process has claimed the cursor meanwhile."""
        sending = asyncio.ensure_future(self._send(records_of(found.commits, self._topic)))
        try:
            while not (await asyncio.wait({sending}, timeout=RENEW_S))[0]:
                if await self._claim() is None:
                    return False
                ahead = await self._commits.commits(found.commits[-1].seq, 1)
                self._metrics.lag.set(ahead.newest - done)
            refused = sending.result()
        finally:
            sending.cancel()
        if refused:
            error = next(iter(refused.values()))
            raise _Refused(f"Kafka refuses {len(refused)} events of topic {self._topic}: {error.str()}")
        return True

    async def _claim(self) -> int | None:
        self._claimed_at = time.monotonic()
        return await self._commits.claim_cursor(READER, self._holder, CLAIM_S)

    def _past_what_is_gone(self, done: int, found: Commits) -> int:
        """Where to go on. What is no longer kept can only be told of: its events are in no log any more."""
        if found.dropped <= done:
            return done
        if done:
            lost = found.dropped - done
            self._metrics.lost.inc(lost)
            _log.error(
                "commits were dropped before they were published; whoever follows the change feed must read the graph"
                " again, and FEED_RETENTION_COMMITS must cover the longest time that Kafka may be away",
                commits=lost,
                first=done + 1,
                last=found.dropped,
            )
        else:
            _log.info("the change feed begins with what the store still keeps", first_commit=found.dropped + 1)
        return found.dropped


class _Refused(Exception):
    """The brokers answer, and do not take the events."""
