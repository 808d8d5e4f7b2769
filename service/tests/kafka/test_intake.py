"""When a batch counts as done, and when it is left to be read again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from prometheus_client import CollectorRegistry

from memory_graph.ingest.event import Event
from memory_graph.ingest.telemetry.events import Rejected
from memory_graph.ingest.telemetry.pipeline import Outcome
from memory_graph.ingest.topics import DECODERS, TELEMETRY
from memory_graph.kafka.dead_letters import DeadLetter
from memory_graph.model.errors import StoreCorrupt, StoreUnavailable
from memory_graph.telemetry.ingestion import IngestionMetrics
from memory_graph.worker.intake import Intake
from memory_graph.worker.received import Received
from support.kafka_events import record


class Pipe:
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


class Letters:
    def __init__(self) -> None:
        self.sent: list[DeadLetter] = []
        self.taken = asyncio.Event()

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        self.sent += letters
        await self.taken.wait()


class Harness:
    def __init__(self) -> None:
        self.pipe, self.letters = Pipe(), Letters()
        self.took: list[float] = []
        decoders = {"t": DECODERS[TELEMETRY], "broken": _broken}
        metrics = IngestionMetrics(CollectorRegistry())
        self.intake = Intake(self.pipe, metrics, self.letters, decoders, tenant="default")

    async def put(self, *records: Received) -> None:
        self.intake.put(records, self.took.append)
        await self.settle()

    async def settle(self) -> None:
        """Lets the tasks do all that they can."""
        for _ in range(20):
            await asyncio.sleep(0)


def _broken(body: bytes, content_type: str) -> Sequence[Event]:
    raise RecursionError("nested too deeply")


def received(number: int, *, topic: str = "t", tenant: str = "", body: bytes | None = None) -> Received:
    headers = [("tenant-id", tenant.encode())] if tenant else []
    return Received(topic, 0, number, b"k", record(number)[1] if body is None else body, headers)


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    made = Harness()
    yield made
    await made.intake.close()


async def test_a_batch_is_done_once_all_of_it_is_durable(harness: Harness) -> None:
    await harness.put(received(0, tenant="a"), received(1, tenant="a"), received(2), received(3, tenant="a"))
    assert [(tenant, count) for tenant, count, _ in harness.pipe.submitted] == [("a", 2), ("default", 1), ("a", 1)]
    for _, count, answer in reversed(harness.pipe.submitted):
        assert not harness.took
        answer.set_result([None] * count)
        await harness.settle()
    assert len(harness.took) == 1
    assert (harness.intake.under_way, harness.intake.bytes, harness.pipe.held) == (0, 0, 0)


async def test_a_batch_is_not_done_before_its_dead_letters_are_safe(harness: Harness) -> None:
    await harness.put(received(0), received(1, body=b"poison"), received(2))
    (_, _, answer) = harness.pipe.submitted[0]
    answer.set_result([None, Rejected("e", "llm.invocation.complete", "refused", "the store refuses it")])
    await harness.settle()
    assert [(letter.offset, letter.reason) for letter in harness.letters.sent] == [(1, "undecodable"), (2, "refused")]
    assert [problem.reason for problem in harness.pipe.rejected] == ["undecodable"], "the pipeline counts its own"
    assert not harness.took
    harness.letters.taken.set()
    await harness.settle()
    assert len(harness.took) == 1


async def test_nothing_but_poison_holds_no_bytes(harness: Harness) -> None:
    await harness.put(received(0, body=b"poison"))
    assert harness.pipe.held == 0
    assert harness.intake.under_way == 1


async def test_what_a_decoder_chokes_on_is_a_dead_letter_and_the_rest_goes_on(harness: Harness) -> None:
    harness.letters.taken.set()
    await harness.put(received(0, topic="broken"), received(1))
    harness.pipe.stored()
    await harness.settle()
    assert [(letter.offset, letter.reason) for letter in harness.letters.sent] == [(0, "failed")]
    assert len(harness.took) == 1


async def test_a_store_that_is_away_at_the_end_leaves_the_batch(harness: Harness) -> None:
    await harness.put(received(0))
    harness.pipe.submitted[0][2].set_exception(StoreUnavailable("away"))
    await harness.settle()
    assert (harness.took, harness.letters.sent, harness.intake.under_way) == ([], [], 0)
    assert not harness.intake.failed.done()


async def test_a_corrupt_store_ends_the_worker_and_makes_no_dead_letters(harness: Harness) -> None:
    await harness.put(received(0))
    harness.pipe.submitted[0][2].set_exception(StoreCorrupt("damaged"))
    await harness.settle()
    with pytest.raises(StoreCorrupt):
        harness.intake.failed.result()
    assert (harness.took, harness.letters.sent) == ([], [])
