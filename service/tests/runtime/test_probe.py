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
from memory_graph.telemetry.measured import MeasuredStore
from memory_graph.telemetry.metrics import Metrics
from store.graphs import agent, write

AWAY = StoreUnavailable("away")
SIZE = Stats(nodes=7, edges=5, sessions=3, active_sessions=2)
KEPT = Applied(results=(), created=1, events=(Event(id="1.0", type=1, at=1, subject_id="x", kind="AGENT"),))


class Store:
    """Fails as it is told, and counts what it is asked."""

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
        return KEPT


class Probing:
    """A probe and what it has told, on a clock that tests move."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.store = Store()
        self.metrics = Metrics("0")
        self.measured = MeasuredStore(self.store, self.metrics, clock=lambda: self.now)
        self.told: list[bool] = []
        self.probe = StoreProbe(self.measured, self.metrics, self.hear, clock=lambda: self.now)

    async def hear(self, serving: bool) -> None:
        self.told.append(serving)

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
            await self.measured.apply(write(agent()))
        except StoreUnavailable:
            return


@pytest.fixture
async def probing() -> Probing:
    made = Probing()
    await made.probe.probe()
    assert made.probe.serving
    return made


async def test_an_idle_store_is_read_every_second_and_written_rarely(probing):
    probing.store.pings = probing.store.checks = 0
    await probing.run(3_600)
    assert probing.store.pings == 3_600
    assert 3_600 / WRITE_CHECK_INTERVAL_S - 1 <= probing.store.checks <= 3_600 / (WRITE_CHECK_INTERVAL_S / 2) + 1
    assert probing.told == [True], "told of changes alone"


async def test_25_processes_write_about_once_a_second_and_at_moments_of_their_own():
    many = [Probing() for _ in range(25)]
    for one in many:
        await one.probe.probe()
    moments: list[int] = []
    for second in range(600):
        for one in many:
            before = one.store.checks
            await one.run(1)
            moments += [second] * (one.store.checks - before)
    assert len(moments) / 600 < 2
    assert max(moments.count(second) for second in range(60, 600)) < 13, "they do not write at one moment"


async def test_a_store_that_is_written_needs_no_writes_of_the_probe(probing):
    probing.store.checks = 0
    for _ in range(120):
        await probing.write()
        await probing.run(1)
    assert probing.store.checks == 0


@pytest.mark.parametrize("error", [AWAY, StoreCorrupt("damaged")], ids=["away", "damaged"])
async def test_a_store_that_cannot_be_read_turns_readiness_and_comes_back(probing, error):
    probing.store.reading = error
    assert await probing.run(5, until=False) == 1
    await probing.run(60)
    probing.store.reading = None
    assert await probing.run(60, until=True) <= WRITE_RECHECK_INTERVAL_S
    assert probing.told == [True, False, True]


async def test_a_store_that_cannot_write_is_noticed_in_time_where_nobody_writes(probing):
    probing.store.writing = AWAY
    assert await probing.run(100, until=False) <= WRITE_CHECK_INTERVAL_S + 1
    probing.store.checks = 0
    await probing.run(100)
    assert probing.store.checks <= 100 / (WRITE_RECHECK_INTERVAL_S / 2) + 1
    assert not probing.probe.serving
    probing.store.writing = None
    assert await probing.run(100, until=True) <= WRITE_RECHECK_INTERVAL_S + 1


async def test_a_write_that_is_refused_is_looked_into_soon(probing):
    await probing.run(10)
    await probing.write()
    probing.store.writing = AWAY
    await probing.write()
    assert await probing.run(100, until=False) <= WRITE_RECHECK_INTERVAL_S + 1


async def test_writes_that_are_refused_for_their_size_alone_turn_nothing(probing):
    for _ in range(60):
        probing.store.writing = AWAY
        await probing.write()
        probing.store.writing = None
        await probing.run(1)
    assert probing.told == [True]
    assert probing.store.checks <= 60 / WRITE_RECHECK_INTERVAL_S + 2


async def test_an_unknown_error_is_raised_for_whoever_supervises(probing):
    probing.store.reading = LookupError("a mistake")
    with pytest.raises(LookupError):
        await probing.run(1)


async def test_a_store_that_hangs_is_not_ready_and_is_asked_again(probing, monkeypatch):
    monkeypatch.setattr(module, "READ_TIMEOUT_S", 0.01)
    probing.store.hangs = True
    assert await probing.run(5, until=False) == 1
    probing.store.hangs = False
    assert await probing.run(5, until=True) == 1


async def test_readiness_ends_by_itself_where_nothing_is_probed_any_more(probing):
    probing.now += READY_TTL_S - 1
    assert probing.probe.serving
    probing.now += 2
    assert not probing.probe.serving
    await probing.run(1)
    assert probing.probe.serving


async def test_the_size_of_the_graph_is_that_of_all_tenants(probing):
    names = ("nodes_total", "edges_total", "sessions_active")
    found = [probing.metrics.registry.get_sample_value(f"memory_graph_{name}") for name in names]
    assert found == [SIZE.nodes, SIZE.edges, SIZE.active_sessions]
