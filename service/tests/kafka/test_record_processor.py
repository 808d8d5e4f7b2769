"""When a batch counts as done, and when it is left to be read again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from prometheus_client import CollectorRegistry

from memory_graph.ingest.pipeline import Outcome
from memory_graph.ingest.telemetry.events import Rejected
from memory_graph.ingest.topics import DECODERS, TELEMETRY, Event
from memory_graph.kafka.dead_letters import RejectedRecord
from memory_graph.model.errors import StoreCorrupt, StoreUnavailable
from memory_graph.telemetry.ingestion import IngestionMetrics
from memory_graph.worker.consumer_record import ConsumerRecord
from memory_graph.worker.record_processor import RecordProcessor
from support.kafka_events import record


class FakePipeline:
    """Answers what it is told to, once it is asked to."""

    def __init__(self) -> None:
        self.held = 0
        self.submitted: list[tuple[str, int, asyncio.Future[list[Outcome]]]] = []
        self.rejected: list[Rejected] = []

    async def reserve(self, size: int, source: str) -> None:
        self.held += size

    def release(self, size: int) -> None:
        self.held -= size

    def submit(self, tenant: str, events: Sequence[Event], size: int, source: str) -> asyncio.Future[list[Outcome]]:
        answer: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self.submitted.append((tenant, len(events), answer))
        self.held -= size
        return answer

    def reject(self, rejected: Sequence[Rejected]) -> None:
        self.rejected += rejected

    def stored(self) -> None:
        for _, count, answer in self.submitted:
            answer.set_result([None] * count)


class FakeDeadLetterQueue:
    def __init__(self) -> None:
        self.sent: list[RejectedRecord] = []
        self.written = asyncio.Event()

    async def send(self, rejected: Sequence[RejectedRecord]) -> None:
        self.sent += rejected
        await self.written.wait()


class ProcessorHarness:
    def __init__(self) -> None:
        self.pipeline, self.dead_letters = FakePipeline(), FakeDeadLetterQueue()
        self.durations: list[float] = []
        decoders = {"t": DECODERS[TELEMETRY], "broken": _broken}
        metrics = IngestionMetrics(CollectorRegistry())
        self.processor = RecordProcessor(self.pipeline, metrics, self.dead_letters, decoders, tenant="default")

    async def put(self, *records: ConsumerRecord) -> None:
        self.processor.put(records, self.durations.append)
        await self.settle()

    async def settle(self) -> None:
        """Lets the tasks do all that they can."""
        for _ in range(20):
            await asyncio.sleep(0)


def _broken(body: bytes, content_type: str) -> Sequence[Event]:
    raise RecursionError("nested too deeply")


def consumed(number: int, *, topic: str = "t", tenant: str = "", body: bytes | None = None) -> ConsumerRecord:
    headers = [("tenant-id", tenant.encode())] if tenant else []
    return ConsumerRecord(topic, 0, number, b"k", record(number)[1] if body is None else body, headers)


@pytest.fixture
async def harness() -> AsyncIterator[ProcessorHarness]:
    harness = ProcessorHarness()
    yield harness
    await harness.processor.close()


async def test_a_batch_is_done_once_all_of_it_is_durable(harness: ProcessorHarness) -> None:
    await harness.put(consumed(0, tenant="a"), consumed(1, tenant="a"), consumed(2), consumed(3, tenant="a"))
    assert [(tenant, count) for tenant, count, _ in harness.pipeline.submitted] == [("a", 2), ("default", 1), ("a", 1)]
    for _, count, answer in reversed(harness.pipeline.submitted):
        assert not harness.durations
        answer.set_result([None] * count)
        await harness.settle()
    assert len(harness.durations) == 1
    assert (harness.processor.in_flight, harness.processor.bytes, harness.pipeline.held) == (0, 0, 0)


async def test_a_batch_is_not_done_before_its_dead_letters_are_safe(harness: ProcessorHarness) -> None:
    await harness.put(consumed(0), consumed(1, body=b"poison"), consumed(2))
    (_, _, answer) = harness.pipeline.submitted[0]
    answer.set_result([None, Rejected("e", "llm.invocation.complete", "refused", "the store refuses it")])
    await harness.settle()
    assert [(rejected.offset, rejected.reason) for rejected in harness.dead_letters.sent] == [
        (1, "undecodable"),
        (2, "refused"),
    ]
    assert [problem.reason for problem in harness.pipeline.rejected] == ["undecodable"], "the pipeline counts its own"
    assert not harness.durations
    harness.dead_letters.written.set()
    await harness.settle()
    assert len(harness.durations) == 1


async def test_nothing_but_poison_holds_no_bytes(harness: ProcessorHarness) -> None:
    await harness.put(consumed(0, body=b"poison"))
    assert harness.pipeline.held == 0
    assert harness.processor.in_flight == 1


async def test_what_a_decoder_chokes_on_is_a_dead_letter_and_the_rest_goes_on(harness: ProcessorHarness) -> None:
    harness.dead_letters.written.set()
    await harness.put(consumed(0, topic="broken"), consumed(1))
    harness.pipeline.stored()
    await harness.settle()
    assert [(rejected.offset, rejected.reason) for rejected in harness.dead_letters.sent] == [(0, "failed")]
    assert len(harness.durations) == 1


async def test_a_store_that_is_away_at_the_end_leaves_the_batch(harness: ProcessorHarness) -> None:
    await harness.put(consumed(0))
    harness.pipeline.submitted[0][2].set_exception(StoreUnavailable("away"))
    await harness.settle()
    assert (harness.durations, harness.dead_letters.sent, harness.processor.in_flight) == ([], [], 0)
    assert not harness.processor.failed.done()


async def test_a_corrupt_store_ends_the_worker_and_makes_no_dead_letters(harness: ProcessorHarness) -> None:
    await harness.put(consumed(0))
    harness.pipeline.submitted[0][2].set_exception(StoreCorrupt("damaged"))
    await harness.settle()
    with pytest.raises(StoreCorrupt):
        harness.processor.failed.result()
    assert (harness.durations, harness.dead_letters.sent) == ([], [])
