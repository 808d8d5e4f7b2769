"""The health probe: what turns readiness, how soon, and how little it writes."""

from __future__ import annotations

import asyncio

import pytest

from memory_graph.model.errors import StoreCorrupt, StoreUnavailable
from memory_graph.model.mutations import Applied, Event
from memory_graph.model.queries import Stats
from memory_graph.runtime import probe as module
from memory_graph.runtime.probe import (
    READY_TTL_S,
    WRITE_CHECK_INTERVAL_S,
    WRITE_RECHECK_INTERVAL_S,
    StoreProbe,
)
from memory_graph.telemetry.instrumented_store import InstrumentedStore
from memory_graph.telemetry.metrics import Metrics
from store.graphs import agent, write

AWAY = StoreUnavailable("away")
SIZE = Stats(nodes=7, edges=5, sessions=3, active_sessions=2)
APPLIED = Applied(results=(), created=1, events=(Event(id="1.0", type=1, at=1, subject_id="x", kind="AGENT"),))


class FailingStore:
    """A store with failures to order, which counts the calls of its probes."""

    def __init__(self) -> None:
        self.reading: Exception | None = None
        self.writing: Exception | None = None
        self.hangs = False
        self.checks = self.pings = 0

    async def ping(self) -> None:
        self.pings += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.reading:
            raise self.reading

    async def check_writable(self) -> None:
        self.checks += 1
        if self.writing:
            raise self.writing

    async def totals(self) -> Stats:
        return SIZE

    async def apply(self, _write):
        if self.writing:
            raise self.writing
        return APPLIED


class ProbeHarness:
    """A probe and its reports, on a clock that tests move."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.store = FailingStore()
        self.metrics = Metrics("0")
        self.instrumented_store = InstrumentedStore(self.store, self.metrics, clock=lambda: self.now)
        self.reports: list[bool] = []
        self.probe = StoreProbe(self.instrumented_store, self.metrics, self.hear, clock=lambda: self.now)

    async def hear(self, serving: bool) -> None:
        self.reports.append(serving)

    async def run(self, seconds: int, until: bool | None = None) -> int:
        """Probes every second; after how many `until` was the answer, where it is asked for."""
        for second in range(1, seconds + 1):
            self.now += 1
            await self.probe.probe()
            if until is not None and self.probe.serving is until:
                return second
        assert until is None, f"not {until} within {seconds} s"
        return seconds

    async def write(self) -> None:
        self.now += 0.01
        try:
            await self.instrumented_store.apply(write(agent()))
        except StoreUnavailable:
            return


@pytest.fixture
async def harness() -> ProbeHarness:
    harness = ProbeHarness()
    await harness.probe.probe()
    assert harness.probe.serving
    return harness


async def test_an_idle_store_is_read_every_second_and_written_rarely(harness):
    harness.store.pings = harness.store.checks = 0
    await harness.run(3_600)
    assert harness.store.pings == 3_600
    assert 3_600 / WRITE_CHECK_INTERVAL_S - 1 <= harness.store.checks <= 3_600 / (WRITE_CHECK_INTERVAL_S / 2) + 1
    assert harness.reports == [True], "told of changes alone"


async def test_25_processes_write_about_once_a_second_and_at_moments_of_their_own():
    harnesses = [ProbeHarness() for _ in range(25)]
    for harness in harnesses:
        await harness.probe.probe()
    times: list[int] = []
    for second in range(600):
        for harness in harnesses:
            before = harness.store.checks
            await harness.run(1)
            times += [second] * (harness.store.checks - before)
    assert len(times) / 600 < 2
    assert max(times.count(second) for second in range(60, 600)) < 13, "they do not write at one moment"


async def test_a_store_that_is_written_needs_no_writes_of_the_probe(harness):
    harness.store.checks = 0
    for _ in range(120):
        await harness.write()
        await harness.run(1)
    assert harness.store.checks == 0


@pytest.mark.parametrize("error", [AWAY, StoreCorrupt("damaged")], ids=["away", "damaged"])
async def test_a_store_that_cannot_be_read_turns_readiness_and_comes_back(harness, error):
    harness.store.reading = error
    assert await harness.run(5, until=False) == 1
    await harness.run(60)
    harness.store.reading = None
    assert await harness.run(60, until=True) <= WRITE_RECHECK_INTERVAL_S
    assert harness.reports == [True, False, True]


async def test_a_store_that_cannot_write_is_noticed_in_time_where_nobody_writes(harness):
    harness.store.writing = AWAY
    assert await harness.run(100, until=False) <= WRITE_CHECK_INTERVAL_S + 1
    harness.store.checks = 0
    await harness.run(100)
    assert harness.store.checks <= 100 / (WRITE_RECHECK_INTERVAL_S / 2) + 1
    assert not harness.probe.serving
    harness.store.writing = None
    assert await harness.run(100, until=True) <= WRITE_RECHECK_INTERVAL_S + 1


async def test_a_write_that_is_refused_is_looked_into_soon(harness):
    await harness.run(10)
    await harness.write()
    harness.store.writing = AWAY
    await harness.write()
    assert await harness.run(100, until=False) <= WRITE_RECHECK_INTERVAL_S + 1


async def test_writes_that_are_refused_for_their_size_alone_turn_nothing(harness):
    for _ in range(60):
        harness.store.writing = AWAY
        await harness.write()
        harness.store.writing = None
        await harness.run(1)
    assert harness.reports == [True]
    assert harness.store.checks <= 60 / WRITE_RECHECK_INTERVAL_S + 2


async def test_an_unknown_error_is_raised_for_whoever_supervises(harness):
    harness.store.reading = LookupError("a mistake")
    with pytest.raises(LookupError):
        await harness.run(1)


async def test_a_store_that_hangs_is_not_ready_and_is_asked_again(harness, monkeypatch):
    monkeypatch.setattr(module, "READ_TIMEOUT_S", 0.01)
    harness.store.hangs = True
    assert await harness.run(5, until=False) == 1
    harness.store.hangs = False
    assert await harness.run(5, until=True) == 1


async def test_readiness_ends_by_itself_where_nothing_is_probed_any_more(harness):
    harness.now += READY_TTL_S - 1
    assert harness.probe.serving
    harness.now += 2
    assert not harness.probe.serving
    await harness.run(1)
    assert harness.probe.serving


async def test_the_size_of_the_graph_is_that_of_all_tenants(harness):
    names = ("nodes_total", "edges_total", "sessions_active")
    sizes = [harness.metrics.registry.get_sample_value(f"memory_graph_{name}") for name in names]
    assert sizes == [SIZE.nodes, SIZE.edges, SIZE.active_sessions]
