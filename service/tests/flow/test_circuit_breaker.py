"""The breaker's states by a clock that tests set."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_graph.flow.circuit_breaker import BreakerLimits, BreakerState, CircuitBreaker
from support.fake_clock import FakeClock

LIMITS = BreakerLimits(failure_rate=0.5, recovery_s=30, trials=3, window=10, min_calls=4)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def states():
    return []


@pytest.fixture
def breaker(clock, states):
    return CircuitBreaker(LIMITS, clock, states.append)


def call(breaker: CircuitBreaker, *failures: bool) -> None:
    for failed in failures:
        assert breaker.admit() == 0
        breaker.failed(breaker.permit) if failed else breaker.succeeded(breaker.permit)


def test_it_opens_at_the_failure_rate_and_not_before_enough_calls(breaker, states):
    call(breaker, True, True, True)
    assert breaker.state is BreakerState.CLOSED
    call(breaker, False)
    assert breaker.state is BreakerState.CLOSED
    call(breaker, True)
    assert breaker.state is BreakerState.OPEN
    assert states == [BreakerState.CLOSED, BreakerState.OPEN]


def test_old_outcomes_are_forgotten(breaker):
    call(breaker, *[False] * 20, *[True] * 4)
    assert breaker.state is BreakerState.CLOSED
    call(breaker, True)
    assert breaker.state is BreakerState.OPEN


def test_open_lets_nobody_through_until_it_has_recovered(breaker, clock):
    call(breaker, *[True] * 4)
    assert breaker.admit() == 30
    clock.now = 29.0
    assert breaker.admit() == pytest.approx(1.0)
    clock.now = 30.0
    assert breaker.admit() == 0
    assert breaker.state is BreakerState.HALF_OPEN


def test_half_open_lets_through_only_its_trials_and_closes_when_all_succeed(breaker, clock, states):
    call(breaker, *[True] * 4)
    clock.now = 30.0
    assert [breaker.admit() for _ in range(3)] == [0, 0, 0]
    assert breaker.admit() > 0
    breaker.succeeded(breaker.permit)
    breaker.succeeded(breaker.permit)
    assert breaker.state is BreakerState.HALF_OPEN
    assert breaker.admit() > 0
    breaker.succeeded(breaker.permit)
    assert breaker.state is BreakerState.CLOSED
    assert states == [BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED]
    call(breaker, True, True, True)
    assert breaker.state is BreakerState.CLOSED


def test_one_failed_trial_opens_it_for_as_long_again(breaker, clock):
    call(breaker, *[True] * 4)
    clock.now = 30.0
    assert [breaker.admit() for _ in range(2)] == [0, 0]
    breaker.succeeded(breaker.permit)
    breaker.failed(breaker.permit)
    assert breaker.state is BreakerState.OPEN
    assert breaker.admit() == 30
    clock.now = 60.0
    call(breaker, False, False, False)
    assert breaker.state is BreakerState.CLOSED


def test_calls_admitted_before_it_opened_are_no_trials(breaker, clock):
    assert [breaker.admit() for _ in range(8)] == [0] * 8
    early = breaker.permit
    for _ in range(4):
        breaker.failed(early)
    assert breaker.state is BreakerState.OPEN
    clock.now = 30.0
    assert breaker.admit() == 0
    trial = breaker.permit
    for _ in range(3):
        breaker.succeeded(early)
    breaker.failed(early)
    assert breaker.state is BreakerState.HALF_OPEN, "what was asked before says nothing of now"
    assert [breaker.admit() for _ in range(2)] == [0, 0], "and takes no trial's place"
    for _ in range(3):
        breaker.succeeded(trial)
    assert breaker.state is BreakerState.CLOSED


def test_an_abandoned_trial_counts_for_nothing_and_another_is_let_through(breaker, clock):
    call(breaker, *[True] * 4)
    clock.now = 30.0
    for _ in range(10):
        assert breaker.admit() == 0
        breaker.abandoned(breaker.permit)
    assert breaker.state is BreakerState.HALF_OPEN
    call(breaker, False, False, False)
    assert breaker.state is BreakerState.CLOSED


@given(st.lists(st.sampled_from(["admit", "ok", "fail", "abandon", "wait"]), max_size=200))
def test_it_never_stays_stuck(steps):
    clock = FakeClock()
    breaker = CircuitBreaker(LIMITS, clock, lambda _: None)
    ends = {"ok": breaker.succeeded, "fail": breaker.failed, "abandon": breaker.abandoned}
    admitted = []
    for step in steps:
        if step == "admit":
            if breaker.admit() == 0:
                admitted.append(breaker.permit)
        elif step == "wait":
            clock.now += 7
        elif admitted:
            ends[step](admitted.pop(0))
    for permit in admitted:
        breaker.succeeded(permit)
    for _ in range(100):
        wait = breaker.admit()
        clock.now += wait
        if not wait:
            breaker.succeeded(breaker.permit)
    assert breaker.state is BreakerState.CLOSED
