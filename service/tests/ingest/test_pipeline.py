"""The pipeline between sources and a store: shared writes, fairness, bounds, refused events."""

from __future__ import annotations

import asyncio

import pytest

from ingest.pipeline_harness import PipelineHarness, until
from memory_graph.ingest.pipeline import MAX_EVENTS
from memory_graph.ingest.telemetry.events import COMPLETE
from memory_graph.ingest.write_planner import node_id
from memory_graph.model.errors import NotFound


async def test_what_has_arrived_meanwhile_shares_a_write_and_each_source_gets_its_own_answers(harness):
    harness.store.gate.clear()
    first = [await harness.send(f"first-{i}") for i in range(2)]
    await until(lambda: harness.store.calls == 1)
    rest = [await harness.send(f"a-{i}", f"b-{i}") for i in range(20)]
    await until(lambda: harness.writes_in_progress == 2)
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
    harness = PipelineHarness(max_bytes=room)
    flooding = [asyncio.create_task(harness.send(*(f"{i}-{j}" for j in range(MAX_EVENTS)), size=4_000, source="rest"))
                for i in range(10)]  # fmt: skip
    harness.store.gate.clear()
    await until(lambda: harness.writes_in_progress == 2)  # as many as there may be
    stream = asyncio.create_task(harness.send("stream", size=4_000, source="grpc"))
    await asyncio.sleep(0)
    harness.store.gate.set()
    assert await (await stream) == [None]
    written = [{mutation.node.id for mutation in write.mutations} for write in harness.store.writes]
    before = next(index for index, ids in enumerate(written) if node_id("stream") in ids)
    assert before <= 3, "no more than the writes in progress, and one more"
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
    assert [rejected.event_id for rejected in harness.rejected] == ["bad", "worse"]
    assert harness.stored(*(name for name in names if name not in refused))
    assert "mistake" not in str(harness.rejected[0])


async def test_sources_wait_while_the_bound_is_full_and_go_on_when_it_is_not():
    harness = PipelineHarness(max_bytes=10_000)
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


async def test_a_mistake_of_the_service_answers_clients_gives_bytes_back_and_is_told():
    harness = PipelineHarness(max_bytes=10_000)

    def broken(_: object) -> None:
        raise RuntimeError("a mistake")

    harness.pipeline._on_rejected = broken
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
    harness = PipelineHarness(max_bytes=10_000)

    def broken(_: int) -> float:
        raise RuntimeError("a mistake")

    harness.pipeline._writer.rate.take = broken
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
