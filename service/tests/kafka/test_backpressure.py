"""A member bounds the records in flight while the store takes none, and stays in its group."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from confluent_kafka import Message
from prometheus_client import CollectorRegistry

from memory_graph.config import Settings
from memory_graph.ingest.pipeline import Outcome
from memory_graph.ingest.topics import DECODERS, TELEMETRY, Event
from memory_graph.telemetry.ingestion import IngestionMetrics
from memory_graph.worker.consumer import MAX_BATCHES_IN_FLIGHT, MAX_BYTES_IN_FLIGHT, GroupMember
from memory_graph.worker.record_processor import RecordProcessor
from memory_graph.worker.status import group_status
from support.kafka_events import quick_records
from support.kafka_topics import committed, new_topic, produce
from support.worker import until

pytestmark = pytest.mark.xdist_group("kafka")
FETCHED_AHEAD = 32 << 20
"""One take is at most what the client library holds."""


class BlockedPipeline:
    """A pipeline that accepts nothing until it is opened."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()

    async def reserve(self, size: int, source: str) -> None:
        await self.opened.wait()

    def submit(self, tenant: str, events: Sequence[Event], size: int, source: str) -> asyncio.Future[list[Outcome]]:
        answer: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        answer.set_result([None for _ in events])
        return answer


async def test_what_was_taken_of_a_partition_given_up_meanwhile_is_its_new_owners(kafka: str, group: str) -> None:
    settings = Settings(kafka_bootstrap_servers=kafka, kafka_group=group, kafka_topics={"t": TELEMETRY})
    metrics = IngestionMetrics(CollectorRegistry())
    processor = RecordProcessor(BlockedPipeline(), metrics, None, {"t": DECODERS[TELEMETRY]}, tenant="default")
    member = GroupMember(settings, processor)
    member.assigned = frozenset({("t", 1)})
    member._submit([Message(topic="t", partition=number, offset=7, value=b"{}") for number in range(3)])
    assert processor.in_flight == 1
    await processor.close()


@pytest.mark.parametrize(("count", "filling"), [(8_000, 0), (200, 400_000)], ids=["many", "large"])
async def test_what_is_taken_is_bounded_and_the_member_stays(kafka: str, group: str, count: int, filling: int) -> None:
    topic = new_topic(kafka, partitions=4)
    filled = b'"metadata": {"filling": "' + b"x" * filling + b'", '
    produce(kafka, topic, ((k, body.replace(b'"metadata": {', filled)) for k, body in quick_records(range(count))))
    settings = Settings(kafka_bootstrap_servers=kafka, kafka_group=group, kafka_topics={topic: TELEMETRY})
    pipeline = BlockedPipeline()
    processor = RecordProcessor(
        pipeline, IngestionMetrics(CollectorRegistry()), None, {topic: DECODERS[TELEMETRY]}, tenant="default"
    )
    member = GroupMember(settings, processor)
    await member.join()
    stopping = asyncio.Event()
    running = asyncio.create_task(member.run(stopping))
    await asyncio.to_thread(until, lambda: member.paused)
    assert 0 < processor.in_flight <= MAX_BATCHES_IN_FLIGHT * settings.kafka_max_poll_records
    assert processor.bytes <= MAX_BYTES_IN_FLIGHT + FETCHED_AHEAD
    status = await asyncio.to_thread(group_status, settings)
    assert (status.state, status.members, status.lag) == ("stable", 1, count)
    pipeline.opened.set()
    await asyncio.to_thread(until, lambda: sum(committed(kafka, group, topic).values()) == count)
    assert not member.paused
    stopping.set()
    await running
    await member.leave(10)
    await processor.close()
