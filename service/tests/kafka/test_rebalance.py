"""Members of one group coming and going while events flow: nothing is lost, nothing is stored twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from memory_graph.config import Settings
from memory_graph.ingest.dead_letters import DeadLetterHandlers
from memory_graph.ingest.pipeline import Pipeline, PipelineSettings
from memory_graph.ingest.topics import DECODERS
from memory_graph.kafka.dead_letters import DeadLetterQueue
from memory_graph.store.sqlite import open_store
from memory_graph.telemetry.ingestion import IngestionMetrics
from memory_graph.worker.consumer import GroupMember
from memory_graph.worker.record_processor import RecordProcessor
from support.kafka_events import plain, quick_records
from support.kafka_topics import committed, new_topic, produce
from support.worker import Stored, until

pytestmark = pytest.mark.xdist_group("kafka")
ROUNDS = 4
COUNT = 12_000
LIMIT_S = 120


class GroupMembers:
    """Group members, each with a record processor, over one store, like workers that share a database."""

    def __init__(
        self, settings: Settings, pipeline: Pipeline, metrics: IngestionMetrics, dead_letters: DeadLetterQueue
    ):
        self._settings, self._pipeline, self._metrics, self._dead_letters = settings, pipeline, metrics, dead_letters
        self._running: list[tuple[GroupMember, RecordProcessor, asyncio.Event, asyncio.Task[None]]] = []

    async def join(self) -> None:
        """Returns once the newcomer has partitions."""
        decoders = dict.fromkeys(self._settings.kafka_topics, DECODERS["llm-telemetry-events"])
        processor = RecordProcessor(self._pipeline, self._metrics, self._dead_letters, decoders, tenant="default")
        member = GroupMember(self._settings, processor)
        await member.join()
        stopping = asyncio.Event()
        self._running.append((member, processor, stopping, asyncio.create_task(member.run(stopping))))
        await asyncio.to_thread(until, lambda: bool(member.assigned), LIMIT_S)

    async def leave(self) -> None:
        """The oldest goes."""
        member, processor, stopping, running = self._running.pop(0)
        stopping.set()
        await running
        await member.leave(10)
        await processor.close()
        assert not member.assigned


async def test_a_storm_of_rebalances(kafka: str, group: str, tmp_path: Path) -> None:
    topic = new_topic(kafka, partitions=6)
    settings = Settings(kafka_bootstrap_servers=kafka, kafka_group=group, kafka_topics={topic: topic})
    store = open_store(tmp_path / "memory-graph.db")
    metrics = IngestionMetrics(CollectorRegistry())
    producing = asyncio.create_task(asyncio.to_thread(produce, kafka, topic, slowly(quick_records(range(COUNT)))))
    limits = PipelineSettings(max_bytes=8 << 20, max_wait_s=60)
    pipeline = Pipeline(store, metrics, limits, DeadLetterHandlers(lambda _: None), draining=asyncio.Event())
    async with DeadLetterQueue(settings) as dead_letters:
        members = GroupMembers(settings, pipeline, metrics, dead_letters)
        await members.join()
        for _ in range(ROUNDS):
            await members.join()
            await members.join()
            await members.leave()
            await members.leave()
        await producing
        await asyncio.to_thread(until, lambda: sum(committed(kafka, group, topic).values()) == COUNT, LIMIT_S)
        await members.leave()
    await pipeline.close()
    await store.close()
    stored = Stored(tmp_path)
    assert len(stored.events) == COUNT
    assert set(stored.events) == {plain(number) for number in range(COUNT)}


def slowly(records: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """Spread over some seconds, so that there is something to read in every round."""
    for number, record in enumerate(records):
        if number % 100 == 0:
            time.sleep(0.05)
        yield record
