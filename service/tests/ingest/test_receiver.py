"""One way for batches of streams, REST and Kafka: in order, each element for itself."""

from __future__ import annotations

import pytest

from ingest.pipeline_harness import PipelineHarness, until
from ingest.samples import message
from memory_graph.ingest.pipeline import MAX_EVENTS
from memory_graph.ingest.receiver import EventReceiver
from memory_graph.ingest.telemetry.decode import from_message
from memory_graph.ingest.telemetry.events import Rejected
from memory_graph.ingest.write_planner import node_id
from memory_graph.model.errors import NotFound


def _decode(element):
    if element == "bad":
        raise Rejected("bad", "", "invalid", "no")
    if element == "mistake":
        raise RuntimeError("a mistake of ours")
    tenant, _, names = element.partition(":")
    return tenant, [from_message(message(name)) for name in names.split()]


@pytest.fixture
async def harness():
    harness = PipelineHarness(max_bytes=10_000)
    harness.receiver = EventReceiver(harness.pipeline, harness.metrics, "test", _decode)
    yield harness
    harness.store.gate.set()
    await harness.pipeline.close()


async def test_each_element_has_its_outcome_by_place(harness):
    harness.store.poison = {node_id("c"): NotFound("session", "x")}
    await harness.receiver.reserve(100)
    receipt = harness.receiver.receive(["t:a", "bad", "t:b c", "mistake", "u:d"], 100)
    outcomes = [outcome and outcome.reason async for outcome in receipt]
    assert outcomes == [None, "invalid", "refused", "failed", None]
    assert harness.stored("a", "b", "d")
    assert [problem.reason for problem in harness.rejected] == ["invalid", "failed", "refused"]
    assert harness.value("llm_memory_graph_buffer_utilization_percent", consumer_id="telemetry") == 0


async def test_outcomes_are_known_as_soon_as_their_part_is_and_bytes_are_held_until_all_are(harness):
    await harness.receiver.reserve(9_000)
    harness.store.gate.clear()
    names = " ".join(f"e{i}" for i in range(MAX_EVENTS))
    receipt = harness.receiver.receive([f"t:{names}", "t:last"], 9_000)
    outcomes = aiter(receipt)
    await until(lambda: harness.store.calls == 1)
    harness.store.gate.set()
    assert await anext(outcomes) is None
    assert await anext(outcomes) is None
    assert harness.value("llm_memory_graph_buffer_utilization_percent", consumer_id="telemetry") == 0


async def test_a_batch_of_nothing_holds_no_bytes(harness):
    for batch in ([], ["bad"]):
        await harness.receiver.reserve(9_000)
        assert len(await harness.receiver.receive(batch, 9_000).rejected()) == len(batch)
    assert harness.value("llm_memory_graph_buffer_utilization_percent", consumer_id="telemetry") == 0


async def test_a_mistake_on_the_way_gives_the_bytes_back(harness):
    def broken(_: object) -> None:
        raise RuntimeError("a mistake")

    harness.pipeline._on_rejected = broken
    await harness.receiver.reserve(9_000)
    with pytest.raises(RuntimeError):
        harness.receiver.receive(["t:a", "bad"], 9_000)
    assert harness.value("llm_memory_graph_buffer_utilization_percent", consumer_id="telemetry") == 0
