"""The token bucket by a clock that tests set."""

from __future__ import annotations

import pytest

from memory_graph.flow.token_bucket import MAX_RATE, MIN_RATE, TokenBucket
from support.fake_clock import FakeClock


@pytest.fixture
def clock():
    return FakeClock()


def test_a_burst_passes_and_then_the_rate_holds(clock):
    bucket = TokenBucket(clock, rate=1_000)
    assert bucket.take(250) == 0
    assert bucket.take(500) == pytest.approx(0.5)
    clock.now += 0.5
    assert bucket.take(100) == pytest.approx(0.1)


def test_idle_time_is_not_saved_beyond_the_burst(clock):
    bucket = TokenBucket(clock, rate=1_000)
    clock.now += 3_600
    assert bucket.take(250) == 0
    assert bucket.take(1) > 0


def test_a_steady_source_gets_the_rate(clock):
    bucket = TokenBucket(clock, rate=1_000)
    done = 0
    while clock.now < 10:
        clock.now += bucket.take(100)
        done += 100
    assert done == pytest.approx(10_250, abs=100)


def test_the_rate_rises_only_while_it_is_what_holds_things_up(clock):
    bucket = TokenBucket(clock, rate=1_000)
    bucket.observe(0.01)
    assert bucket.rate == 1_000
    bucket.take(1_000)
    bucket.observe(0.01)
    assert bucket.rate == pytest.approx(1_100)
    bucket.observe(0.01)
    assert bucket.rate == pytest.approx(1_100)


def test_slow_writes_bring_the_rate_down_to_a_floor_and_quick_ones_up_to_a_ceiling(clock):
    bucket = TokenBucket(clock, rate=1_000, target_s=0.5)
    for _ in range(50):
        bucket.observe(0.6)
    assert bucket.rate == MIN_RATE
    for _ in range(200):
        bucket.take(1_000_000)
        bucket.observe(0.1)
    assert bucket.rate == MAX_RATE
