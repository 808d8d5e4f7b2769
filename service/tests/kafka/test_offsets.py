"""What may be committed, and how many records are taken."""

from __future__ import annotations

import random

from memory_graph.worker.offsets import Offsets
from memory_graph.worker.pace import LEAST, Pace

A, B = ("topic", 0), ("topic", 1)


def test_an_offset_waits_for_everything_before_it() -> None:
    offsets = Offsets()
    first, second, third = (offsets.begin(A, following) for following in (10, 20, 30))
    offsets.end(second)
    assert offsets.committable() == {}
    offsets.end(first)
    assert offsets.committable() == {A: 20}
    assert offsets.committable() == {}, "once"
    offsets.end(third)
    assert offsets.committable() == {A: 30}


def test_in_whatever_order_spans_end_nothing_open_is_passed() -> None:
    chance = random.Random(11)
    for _ in range(50):
        offsets = Offsets()
        spans = [offsets.begin(A, following) for following in range(1, 21)]
        for span in chance.sample(spans, len(spans)):
            offsets.end(span)
            still = [other.following for other in spans if not other.done]
            moved = offsets.committable()
            assert all(offset < min(still, default=21) for offset in moved.values())
        assert not offsets.under_way([A])


def test_what_a_partition_left_behind_says_nothing_of_the_same_one_got_anew() -> None:
    offsets = Offsets()
    old = offsets.begin(A, 100)
    offsets.forget([A])
    new = offsets.begin(A, 60)
    offsets.end(old)
    assert offsets.committable() == {}
    assert offsets.under_way([A])
    offsets.end(new)
    assert offsets.committable() == {A: 60}


def test_a_refused_commit_is_made_again() -> None:
    offsets = Offsets()
    for partition in (A, B):
        offsets.end(offsets.begin(partition, 5))
    assert offsets.committable([B]) == {B: 5}
    assert offsets.committable() == {A: 5}
    offsets.refused([B])
    assert offsets.committable() == {B: 5}


def test_takes_shrink_while_the_store_is_slow_and_grow_back() -> None:
    pace = Pace(500)
    pace.learn(500, 5)
    assert pace.records == 250
    for _ in range(20):
        pace.learn(pace.records, 5)
    assert pace.records == LEAST
    pace.learn(LEAST - 1, 0.1)
    assert pace.records == LEAST, "a take that was not full says nothing"
    for _ in range(20):
        pace.learn(pace.records, 0.1)
    assert pace.records == 500


def test_few_are_taken_where_few_are_allowed() -> None:
    pace = Pace(3)
    pace.learn(3, 100)
    assert pace.records == 3
