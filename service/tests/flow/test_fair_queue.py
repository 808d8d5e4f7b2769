"""Sources that wait are served alike, whatever one of them brings."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from memory_graph.flow.byte_semaphore import ByteSemaphore
from memory_graph.flow.fair_queue import FairQueue

WEIGHTS = st.lists(st.integers(1, 500), min_size=1, max_size=30)


@given(st.dictionaries(st.sampled_from("abc"), WEIGHTS, min_size=1))
def test_each_source_keeps_its_order_and_while_all_wait_none_is_ahead_by_more_than_an_item(sources):
    queue = FairQueue[tuple[str, int]]()
    for source, weights in sources.items():
        for number, weight in enumerate(weights):
            queue.put(source, (source, number), weight)
    remaining = {source: len(weights) for source, weights in sources.items()}
    served = dict.fromkeys(sources, 0)
    order = []
    while queue:
        seen = queue.peek()
        assert queue.take() == seen
        (source, number), weight = seen
        order.append((source, number))
        if all(remaining.values()):
            served[source] += weight
            assert max(served.values()) - min(served.values()) <= 500
        remaining[source] -= 1
    for source in sources:
        numbers = [number for served_source, number in order if served_source == source]
        assert numbers == list(range(len(sources[source])))


def test_one_that_did_not_wait_has_no_claim_on_what_others_got_meanwhile():
    queue = FairQueue[str]()
    for number in range(10):
        queue.put("flood", f"flood-{number}", 100)
    for _ in range(5):
        queue.take()
    for number in range(10):
        queue.put("late", f"late-{number}", 100)
    assert [queue.take()[0].partition("-")[0] for _ in range(6)].count("late") == 3


async def test_room_is_given_to_sources_in_turn():
    semaphore = ByteSemaphore(100)
    got: list[str] = []

    async def hold(source: str) -> None:
        await semaphore.acquire(50, source)
        got.append(source)

    await semaphore.acquire(100, "flood")
    waiting = [asyncio.create_task(hold("flood")) for _ in range(6)]
    await asyncio.sleep(0)
    waiting += [asyncio.create_task(hold("stream")) for _ in range(2)]
    await asyncio.sleep(0)
    semaphore.release(100)
    while len(got) < len(waiting):
        await asyncio.sleep(0)
        semaphore.release(50)
    assert got[:4].count("stream") == 2
