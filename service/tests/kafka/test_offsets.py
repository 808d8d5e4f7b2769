"""Offsets that may be committed, and the size of batches."""

from __future__ import annotations

import random

from memory_graph.worker.consumer import MIN_BATCH_SIZE, AdaptiveBatchSize
from memory_graph.worker.offsets import Offsets

A, B = ("topic", 0), ("topic", 1)


def test_an_offset_waits_for_everything_before_it() -> None:
    offsets = Offsets()
    first, second, third = (offsets.begin(A, next_offset) for next_offset in (10, 20, 30))
    offsets.end(second)
    assert offsets.committable() == {}
    offsets.end(first)
    assert offsets.committable() == {A: 20}
    assert offsets.committable() == {}, "once"
    offsets.end(third)
    assert offsets.committable() == {A: 30}


def test_in_whatever_order_ranges_end_nothing_open_is_passed() -> None:
    chance = random.Random(11)
    for _ in range(50):
        offsets = Offsets()
        ranges = [offsets.begin(A, next_offset) for next_offset in range(1, 21)]
        for in_flight in chance.sample(ranges, len(ranges)):
            offsets.end(in_flight)
            unfinished = [other.next_offset for other in ranges if not other.done]
            moved = offsets.committable()
            assert all(offset < min(unfinished, default=21) for offset in moved.values())
        assert not offsets.in_flight([A])


def test_what_a_partition_left_behind_says_nothing_of_the_same_one_got_anew() -> None:
    offsets = Offsets()
    old = offsets.begin(A, 100)
    offsets.forget([A])
    new = offsets.begin(A, 60)
    offsets.end(old)
    assert offsets.committable() == {}
    assert offsets.in_flight([A])
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


def test_batches_shrink_while_the_store_is_slow_and_grow_back() -> None:
    batch_size = AdaptiveBatchSize(500)
    batch_size.observe(500, 5)
    assert batch_size.records == 250
    for _ in range(20):
        batch_size.observe(batch_size.records, 5)
    assert batch_size.records == MIN_BATCH_SIZE
    batch_size.observe(MIN_BATCH_SIZE - 1, 0.1)
    assert batch_size.records == MIN_BATCH_SIZE, "a batch that was not full proves nothing"
    for _ in range(20):
        batch_size.observe(batch_size.records, 0.1)
    assert batch_size.records == 500


def test_few_are_taken_where_few_are_allowed() -> None:
    batch_size = AdaptiveBatchSize(3)
    batch_size.observe(3, 100)
    assert batch_size.records == 3
