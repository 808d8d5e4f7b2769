"""The pipeline over a store that is away for long, or slow, and under a clock that jumps; in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from ingest.pipeline_harness import RECOVERY_S, FakeStore, PipelineHarness
from ingest.talks import Ingestion, prompt, response
from memory_graph.ingest.conversations.mapping import waiting_id
from memory_graph.ingest.write_planner import node_id
from memory_graph.model.errors import StoreUnavailable
from memory_graph.model.kinds import NodeType
from memory_graph.store.sqlite import open_store
from store.graphs import TENANT
from support.virtual_time import run

MINUTE = 60.0
EVENT_BYTES = 1_000
BOUND = 100 * EVENT_BYTES


class EventSource:
    """A source that sends events as fast as it may, and counts those that are accepted and answered."""

    def __init__(self, harness: PipelineHarness, name: str) -> None:
        self._harness = harness
        self._name = name
        self.accepted = 0
        self.answered = 0
        self._answers: list[asyncio.Future] = []
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            answer = await self._harness.send(f"{self._name}-{self.accepted}", size=EVENT_BYTES)
            self.accepted += 1
            answer.add_done_callback(self._done)
            self._answers.append(answer)
            await asyncio.sleep(0.01)

    def _done(self, answer: asyncio.Future) -> None:
        assert answer.result() == [None]
        self.answered += 1

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(*self._answers)


def make_harness(store: FakeStore | None = None) -> PipelineHarness:
    loop = asyncio.get_running_loop()
    return PipelineHarness(store, max_bytes=BOUND, max_wait_s=15 * MINUTE, monotonic=loop.time)


def test_a_store_away_for_ten_minutes_stops_sources_within_the_bound_and_all_goes_on_by_itself() -> None:
    async def scenario() -> None:
        harness = make_harness()
        sources = [EventSource(harness, name) for name in "abc"]
        await asyncio.sleep(1)
        before = sum(source.accepted for source in sources)
        assert before > 200
        harness.store.away = True
        calls = harness.store.calls
        await asyncio.sleep(10 * MINUTE)
        accepted = sum(source.accepted for source in sources)
        assert accepted - before <= BOUND / EVENT_BYTES + len(sources)
        assert harness.value("llm_memory_graph_buffer_utilization_percent", consumer_id="telemetry") == 100
        assert harness.value("circuit_breaker_state", service="store") == 2
        assert harness.store.calls - calls < 10 * MINUTE / RECOVERY_S, (
            "at most a trial each time the breaker lets one through"
        )
        assert not harness.rejected
        harness.store.away = False
        await asyncio.sleep(10)
        assert harness.value("circuit_breaker_state", service="store") == 0
        assert sum(source.accepted for source in sources) > accepted + 1_000
        for source in sources:
            await source.end()
            assert harness.stored(*(f"{source._name}-{i}" for i in range(source.accepted)))
        assert harness.value("llm_memory_graph_buffer_utilization_percent", consumer_id="telemetry") == 0
        await harness.pipeline.close()

    run(scenario())


def test_patience_ends_and_the_next_is_refused_at_once_until_the_store_is_back() -> None:
    async def scenario() -> None:
        loop, harness = asyncio.get_running_loop(), make_harness()
        harness.store.away = True
        for name, least, most in (("a", 15 * MINUTE, 16 * MINUTE), ("b", 0, 1)):
            began = loop.time()
            with pytest.raises(StoreUnavailable):
                await (await harness.send(name))
            assert least <= loop.time() - began <= most
        assert harness.value("llm_memory_graph_buffer_utilization_percent", consumer_id="telemetry") == 0
        harness.store.away = False
        await asyncio.sleep(RECOVERY_S)
        assert await (await harness.send("a")) == [None]
        assert harness.stored("a")
        await harness.pipeline.close()

    run(scenario())


def test_a_slow_store_slows_sources_and_loses_nothing() -> None:
    class Slow(FakeStore):
        async def apply(self, write):
            await asyncio.sleep(3)
            return await super().apply(write)

    async def scenario() -> None:
        harness = make_harness(Slow())
        sources = [EventSource(harness, name) for name in "abc"]
        await asyncio.sleep(MINUTE)
        accepted = sum(source.accepted for source in sources)
        answered = sum(source.answered for source in sources)
        assert accepted - answered <= BOUND / EVENT_BYTES + len(sources)
        assert answered > 500, "several events share a write, two of them are under way"
        assert not harness.rejected
        for source in sources:
            await source.end()
            assert harness.stored(*(f"{source._name}-{i}" for i in range(source.accepted)))
        await harness.pipeline.close()

    run(scenario())


async def test_a_clock_that_jumps_loses_nothing_and_expires_nothing_early(tmp_path) -> None:
    time = [1_800_000_000_000_000_000]
    day = 86_400_000_000_000
    store = open_store(tmp_path / "graph.db", clock=lambda: time[0])
    ingestion = Ingestion(store, now=lambda: time[0])
    assert await ingestion.send(response("r-1", "p-1")) == [None]
    time[0] -= 3 * day
    assert await ingestion.send(response("r-2", "p-2")) == [None]
    await ingestion.pipeline.sweep(TENANT)
    assert ingestion.expired == []
    assert await ingestion.send(prompt("p-1")) == [None]
    time[0] += 3 * day
    assert await ingestion.send(prompt("p-2")) == [None]
    nodes = await store.get_nodes(TENANT, [node_id("r-1"), node_id("r-2")])
    assert [node.type for node in nodes] == [NodeType.RESPONSE] * 2
    assert await store.get_nodes(TENANT, [waiting_id("r-1"), waiting_id("r-2")]) == []
    changes = await store.changes(TENANT, None, 1_000)
    assert [change.at for change in changes] == sorted(change.at for change in changes)
    await ingestion.pipeline.close()
    await store.close()
