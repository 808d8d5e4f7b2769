"""The pipeline over a store that is unavailable, and at the end of the process."""

from __future__ import annotations

import asyncio
import time

import pytest

from ingest.pipeline_harness import RECOVERY_S, FakeStore, PipelineHarness, until
from ingest.talks import prompt
from memory_graph.flow.circuit_breaker import BreakerLimits
from memory_graph.ingest.write_planner import node_id
from memory_graph.model.errors import StoreUnavailable
from store.graphs import TENANT


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
    harness = PipelineHarness()
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
    harness = PipelineHarness(breaker=BreakerLimits(failure_rate=0.5, recovery_s=600, trials=1))
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
    harness = PipelineHarness(max_bytes=10_000)
    harness.store.gate.clear()
    answer = await harness.send("a", size=9_000)
    await until(lambda: harness.store.calls == 1)
    answer.cancel()
    harness.store.gate.set()
    await until(lambda: harness.stored("a"))
    await (await harness.send("b", size=9_000))
    assert harness.stored("a", "b")
    await harness.pipeline.close()


class FirstWriteFails(FakeStore):
    """A store that is unavailable for the first write."""

    async def apply(self, write):
        if self.calls == 0:
            self.calls += 1
            raise StoreUnavailable("away")
        return await super().apply(write)


async def test_what_came_first_is_stored_first_also_when_its_write_is_made_again():
    harness = PipelineHarness(FirstWriteFails())
    first = await harness.send("first")
    await until(lambda: harness.store.calls == 1)
    second = await harness.send("second")
    assert await asyncio.gather(first, second) == [[None]] * 2
    order = [mutation.node.id for write in harness.store.writes for mutation in write.mutations]
    assert order.index(node_id("first")) < order.index(node_id("second"))
    await harness.pipeline.close()


async def test_the_halves_of_a_write_wait_too_for_what_came_first():
    harness = PipelineHarness(FirstWriteFails())
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
    class FirstEventFails(FakeStore):
        """A store that is unavailable for the event `first`."""

        async def apply(self, write):
            if any(mutation.node.id == node_id("first") for mutation in write.mutations):
                self.calls += 1
                raise StoreUnavailable("away")
            return await super().apply(write)

    harness = PipelineHarness(FirstEventFails())
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
