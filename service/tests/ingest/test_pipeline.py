"""The pipeline between sources and a store that is slow, away, refuses or breaks."""

from __future__ import annotations

import asyncio
import time

import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from ingest.samples import message
from ingest.talks import prompt
from memory_graph.flow.circuit_breaker import BreakerLimits
from memory_graph.ingest.telemetry.decode import from_message
from memory_graph.ingest.telemetry.events import COMPLETE, Rejected
from memory_graph.ingest.telemetry.pipeline import MAX_EVENTS, Pipeline
from memory_graph.ingest.write_planner import node_id
from memory_graph.model.errors import NotFound, StoreUnavailable
from memory_graph.model.kinds import EventType
from memory_graph.model.mutations import Applied, Event, Write
from memory_graph.model.queries import Page
from memory_graph.telemetry.ingestion import IngestionMetrics
from store.graphs import TENANT

RECOVERY_S = 0.05


class FakeStore:
    """Keeps nodes by id; is away, waits or refuses as it is told."""

    def __init__(self) -> None:
        self.nodes: dict[str, object] = {}
        self.writes: list[Write] = []
        self.calls = 0
        self.away = False
        self.poison: dict[str, Exception] = {}
        self.gate = asyncio.Event()
        self.gate.set()

    async def apply(self, write: Write) -> Applied:
        self.calls += 1
        await self.gate.wait()
        if self.away:
            raise StoreUnavailable("away")
        for mutation in write.mutations:
            if mutation.node.id in self.poison:
                raise self.poison[mutation.node.id]
        self.writes.append(write)
        results, events = [], []
        for mutation in write.mutations:
            id = mutation.node.id
            if id not in self.nodes:
                self.nodes[id] = replace(mutation.node, recorded_at=len(self.writes))
                events.append(
                    Event(id=f"{len(self.writes)}.{len(events)}", type=EventType.NODE_CREATED, at=len(self.writes),
                          subject_id=id, kind="x"))  # fmt: skip
            results.append(self.nodes[id])
        return Applied(results=tuple(results), created=len(events), events=tuple(events))

    async def query(self, *_: object) -> Page:
        if self.away:
            raise StoreUnavailable("away")
        return Page([], 0)


class Harness:
    def __init__(self, **options: object) -> None:
        self.store = FakeStore()
        self.registry = CollectorRegistry()
        self.draining = asyncio.Event()
        self.dead: list[Rejected] = []
        defaults = {
            "max_bytes": 10_000_000,
            "patience_s": 60.0,
            "draining": self.draining,
            "limits": BreakerLimits(failure_rate=0.5, recovery_s=RECOVERY_S, trials=2),
        }
        self.metrics = IngestionMetrics(self.registry)
        self.pipeline = Pipeline(self.store, self.metrics, self.dead.extend, **{**defaults, **options})

    async def send(self, *names: str, size: int = 100, tenant: str = TENANT, source: str = "") -> asyncio.Future:
        await self.pipeline.reserve(size, source)
        return self.pipeline.submit(tenant, [from_message(message(name)) for name in names], size, source)

    @property
    def under_way(self) -> int:
        """Writes that are made or committed."""
        return len(self.pipeline._writes)

    def value(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    def stored(self, *names: str) -> bool:
        return all(node_id(name) in self.store.nodes for name in names)


@pytest.fixture
async def harness():
    made = Harness()
    yield made
    made.draining.set()
    made.store.gate.set()
    await made.pipeline.close()


async def until(condition) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.001)


async def test_what_has_arrived_meanwhile_shares_a_write_and_each_source_gets_its_own_answers(harness):
    harness.store.gate.clear()
    first = [await harness.send(f"first-{i}") for i in range(2)]
    await until(lambda: harness.store.calls == 1)
    rest = [await harness.send(f"a-{i}", f"b-{i}") for i in range(20)]
    await until(lambda: harness.under_way == 2)
    harness.store.gate.set()
    assert await asyncio.gather(*first) == [[None]] * 2
    assert await asyncio.gather(*rest) == [[None, None]] * 20
    assert harness.store.calls <= 4
    assert harness.value("llm_memory_graph_events_processed_total", event_type=COMPLETE, status="stored") == 42


async def test_a_write_is_bounded_and_never_of_two_tenants(harness):
    harness.store.gate.clear()
    answers = [await harness.send(*(f"{i}-{j}" for j in range(100)), tenant=f"t{i % 2}") for i in range(20)]
    harness.store.gate.set()
    await asyncio.gather(*answers)
    assert max(len(write.mutations) for write in harness.store.writes) <= MAX_EVENTS + 1
    assert {write.tenant for write in harness.store.writes} == {"t0", "t1"}


@pytest.mark.parametrize("room", [10_000_000, 10_000])
async def test_a_flood_of_one_source_does_not_hold_up_another(room):
    harness = Harness(max_bytes=room)
    flooding = [asyncio.create_task(harness.send(*(f"{i}-{j}" for j in range(MAX_EVENTS)), size=4_000, source="rest"))
                for i in range(10)]  # fmt: skip
    harness.store.gate.clear()
    await until(lambda: harness.under_way == 2)  # as many as there may be
    stream = asyncio.create_task(harness.send("stream", size=4_000, source="grpc"))
    await asyncio.sleep(0)
    harness.store.gate.set()
    assert await (await stream) == [None]
    written = [{mutation.node.id for mutation in write.mutations} for write in harness.store.writes]
    before = next(place for place, ids in enumerate(written) if node_id("stream") in ids)
    assert before <= 3, "no more than what was under way, and one whose turn it was"
    for answer in await asyncio.gather(*flooding):
        assert await answer == [None] * MAX_EVENTS
    await harness.pipeline.close()


async def test_duplicates_are_counted_as_such(harness):
    assert await (await harness.send("a", "a", "b")) == [None] * 3
    assert await (await harness.send("a")) == [None]
    assert harness.value("llm_memory_graph_events_processed_total", event_type=COMPLETE, status="stored") == 2
    assert harness.value("llm_memory_graph_events_processed_total", event_type=COMPLETE, status="duplicate") == 2


@pytest.mark.parametrize("error", [NotFound("session", "x"), ValueError("mistake")])
async def test_poison_is_refused_alone(harness, error):
    harness.store.poison = {node_id("bad"): error, node_id("worse"): error}
    names = [*(f"good-{i}" for i in range(50)), "bad", "g1", "g2", "worse", "g3"]
    outcomes = await (await harness.send(*names))
    refused = {name for name, outcome in zip(names, outcomes, strict=True) if outcome is not None}
    assert refused == {"bad", "worse"}
    assert [rejected.event_id for rejected in harness.dead] == ["bad", "worse"]
    assert harness.stored(*(name for name in names if name not in refused))
    assert "mistake" not in str(harness.dead[0])


async def test_sources_wait_while_the_bound_is_full_and_go_on_when_it_is_not():
    harness = Harness(max_bytes=10_000)
    harness.store.gate.clear()
    answers = [await harness.send(str(i), size=2_500) for i in range(4)]
    more = asyncio.create_task(harness.send("more", size=2_500))
    await until(lambda: harness.store.calls == 1)
    await asyncio.sleep(0.01)
    assert not more.done()
    assert harness.value("llm_memory_graph_buffer_utilization_percent", consumer_id="telemetry") == 100
    harness.store.gate.set()
    answers.append(await more)
    await asyncio.gather(*answers)
    assert harness.value("llm_memory_graph_buffer_utilization_percent", consumer_id="telemetry") == 0
    await harness.pipeline.close()


async def test_a_store_that_is_away_holds_things_up_and_loses_nothing(harness):
    harness.store.away = True
    answers = [await harness.send(str(i)) for i in range(10)]
    await until(lambda: harness.value("circuit_breaker_state", service="store") == 2)
    assert not any(answer.done() for answer in answers)
    calls, began = harness.store.calls, time.monotonic()
    await asyncio.sleep(0.2)
    most = 2 + (time.monotonic() - began) / RECOVERY_S
    assert harness.store.calls - calls <= most, "an open breaker lets no more than a trial through each recovery time"
    harness.store.away = False
    assert await asyncio.gather(*answers) == [[None]] * 10
    assert harness.stored(*map(str, range(10)))
    await until(lambda: harness.value("circuit_breaker_state", service="store") in (0, 1))
    for name in "abc":
        await (await harness.send(name))
    assert harness.value("circuit_breaker_state", service="store") == 0


async def test_at_the_end_what_was_accepted_is_stored():
    harness = Harness()
    harness.store.gate.clear()
    answers = [await harness.send(str(i)) for i in range(5)]
    closing = asyncio.create_task(harness.pipeline.close())
    harness.draining.set()
    await asyncio.sleep(0.01)
    assert not closing.done()
    harness.store.gate.set()
    await closing
    assert [answer.result() for answer in answers] == [[None]] * 5


async def test_at_the_end_nobody_waits_for_a_store_that_is_away():
    harness = Harness(limits=BreakerLimits(failure_rate=0.5, recovery_s=600, trials=1))
    harness.store.away = True
    answers = [await harness.send(str(i)) for i in range(5)]
    await until(lambda: harness.value("circuit_breaker_state", service="store") == 2)
    harness.draining.set()
    async with asyncio.timeout(5):
        await harness.pipeline.close()
    for answer in answers:
        with pytest.raises(StoreUnavailable):
            answer.result()


async def test_a_source_that_went_away_does_not_hold_its_bytes():
    harness = Harness(max_bytes=10_000)
    harness.store.gate.clear()
    answer = await harness.send("a", size=9_000)
    await until(lambda: harness.store.calls == 1)
    answer.cancel()
    harness.store.gate.set()
    await until(lambda: harness.stored("a"))
    await (await harness.send("b", size=9_000))
    assert harness.stored("a", "b")
    await harness.pipeline.close()


class Stumbling(FakeStore):
    """Is away at the first write."""

    async def apply(self, write):
        if self.calls == 0:
            self.calls += 1
            raise StoreUnavailable("away")
        return await super().apply(write)


async def test_what_came_first_is_stored_first_also_when_its_write_is_made_again():
    harness = Harness()
    harness.store = harness.pipeline._writer._store = Stumbling()
    first = await harness.send("first")
    await until(lambda: harness.store.calls == 1)
    second = await harness.send("second")
    assert await asyncio.gather(first, second) == [[None]] * 2
    order = [mutation.node.id for write in harness.store.writes for mutation in write.mutations]
    assert order.index(node_id("first")) < order.index(node_id("second"))
    await harness.pipeline.close()


async def test_the_halves_of_a_write_wait_too_for_what_came_first():
    harness = Harness()
    harness.store = harness.pipeline._writer._store = Stumbling()
    first = await harness.send("first")
    await until(lambda: harness.store.calls == 1)
    bad = prompt("bad", prompt={"text": "x", "metadata": {"agent_id": "travel-agent"}})
    await harness.pipeline.reserve(100)
    second = harness.pipeline.submit(TENANT, [prompt("p-1"), bad, prompt("p-2")], 100)
    assert await first == [None]
    outcomes = await second
    assert [outcome is None for outcome in outcomes] == [True, False, True]
    order = [mutation.node.id for write in harness.store.writes for mutation in write.mutations]
    assert order.index(node_id("first")) < order.index(node_id("p-1")) < order.index(node_id("p-2"))
    await harness.pipeline.close()


async def test_what_follows_a_write_that_is_given_up_is_given_up_with_it():
    class Back(FakeStore):
        """Is away for the first write and there for the second."""

        async def apply(self, write):
            if any(mutation.node.id == node_id("first") for mutation in write.mutations):
                self.calls += 1
                raise StoreUnavailable("away")
            return await super().apply(write)

    harness = Harness()
    harness.store = harness.pipeline._writer._store = Back()
    first = await harness.send("first")
    await until(lambda: harness.store.calls == 1)
    second = await harness.send("second")
    harness.draining.set()
    for answer in (first, second):
        with pytest.raises(StoreUnavailable):
            await answer
    assert not harness.stored("second"), "sent again, both would be stored in another order"
    assert await (await harness.send("third")) == [None]
    await harness.pipeline.close()


async def test_a_mistake_of_the_service_answers_clients_gives_bytes_back_and_is_told():
    harness = Harness(max_bytes=10_000)

    def broken(_: object) -> None:
        raise RuntimeError("a mistake")

    harness.pipeline._dead_letters = broken
    harness.store.poison = {node_id("bad"): NotFound("session", "x")}
    answer = await harness.send("bad", size=9_000)
    with pytest.raises(RuntimeError):
        await answer
    with pytest.raises(RuntimeError):
        async with asyncio.timeout(5):
            await harness.pipeline.failed
    assert harness.value("llm_memory_graph_buffer_utilization_percent", consumer_id="telemetry") == 0
    assert await (await harness.send("good", size=9_000)) == [None], "what can be stored still is"
    await harness.pipeline.close()


async def test_a_pipeline_that_has_ended_answers_what_waits_and_what_comes():
    harness = Harness(max_bytes=10_000)

    def broken(_: int) -> float:
        raise RuntimeError("a mistake")

    harness.pipeline._bucket.take = broken
    answers = [await harness.send(name, size=5_000) for name in ("a", "b")]
    waiting = asyncio.create_task(harness.send("c", size=5_000))
    async with asyncio.timeout(5):
        answers.append(await waiting)
        with pytest.raises(RuntimeError):
            await harness.pipeline.failed
    for answer in answers:
        with pytest.raises(RuntimeError):
            await answer
    await harness.pipeline.close()
