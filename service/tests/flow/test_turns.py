"""Kinds that wait are served alike, whatever one of them brings."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from memory_graph.flow.budget import ByteBudget
from memory_graph.flow.turns import Turns

WEIGHTS = st.lists(st.integers(1, 500), min_size=1, max_size=30)


@given(st.dictionaries(st.sampled_from("abc"), WEIGHTS, min_size=1))
def test_each_kind_keeps_its_order_and_while_all_wait_none_is_ahead_by_more_than_an_item(kinds):
    turns = Turns[tuple[str, int]]()
    for kind, weights in kinds.items():
        for number, weight in enumerate(weights):
            turns.put(kind, (kind, number), weight)
    left = {kind: len(weights) for kind, weights in kinds.items()}
    had = dict.fromkeys(kinds, 0)
    order = []
    while turns:
        seen = turns.peek()
        assert turns.take() == seen
        (kind, number), weight = seen
        order.append((kind, number))
        if all(left.values()):
            had[kind] += weight
            assert max(had.values()) - min(had.values()) <= 500
        left[kind] -= 1
    for kind in kinds:
        numbers = [number for one, number in order if one == kind]
        assert numbers == list(range(len(kinds[kind])))


def test_one_that_did_not_wait_has_no_claim_on_what_others_got_meanwhile():
    turns = Turns[str]()
    for number in range(10):
        turns.put("flood", f"flood-{number}", 100)
    for _ in range(5):
        turns.take()
    for number in range(10):
        turns.put("late", f"late-{number}", 100)
    assert [turns.take()[0].partition("-")[0] for _ in range(6)].count("late") == 3


async def test_room_is_given_to_kinds_in_turn():
    budget = ByteBudget(100)
    got: list[str] = []

    async def want(kind: str) -> None:
        await budget.reserve(50, kind)
        got.append(kind)

    await budget.reserve(100, "flood")
    waiting = [asyncio.create_task(want("flood")) for _ in range(6)]
    await asyncio.sleep(0)
    waiting += [asyncio.create_task(want("stream")) for _ in range(2)]
    await asyncio.sleep(0)
    budget.release(100)
    while len(got) < len(waiting):
        await asyncio.sleep(0)
        budget.release(50)
    assert got[:4].count("stream") == 2
