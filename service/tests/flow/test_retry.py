"""Calls of a store that is away for a while, by a clock that tests set."""

from __future__ import annotations

import asyncio

import pytest

from memory_graph.flow.circuit_breaker import BreakerLimits, BreakerState, CircuitBreaker
from memory_graph.flow.retry import RetryPolicy
from memory_graph.model.errors import NotFound, StoreUnavailable

AWAY = StoreUnavailable("away")
REFUSED = NotFound("node", "n-1")


class RetryHarness:
    """A retry policy that waits at most 30 s. Its pauses end at once: each lets a second pass."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, trials: int = 1) -> None:
        self.now = 0.0
        self.draining = asyncio.Event()
        limits = BreakerLimits(failure_rate=0.5, recovery_s=5, trials=trials, min_calls=3)
        self.breaker = CircuitBreaker(limits, lambda: self.now, lambda _: None)
        self.retry = RetryPolicy(self.breaker, max_wait_s=30, draining=self.draining, clock=lambda: self.now)
        monkeypatch.setattr(self.retry, "_sleep", self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.now += max(seconds, 1.0)
        await asyncio.sleep(0)

    async def call(self, *answers: object, seconds: float = 0.0) -> object:
        """One call; the store gives these answers, the last again and again. seconds: how long each takes."""
        rest = list(answers)

        async def attempt() -> object:
            answer = rest.pop(0) if len(rest) > 1 else rest[0]
            self.now += seconds
            if isinstance(answer, BaseException):
                raise answer
            return answer

        return await self.retry.call(attempt)


@pytest.fixture
def harness(monkeypatch):
    return RetryHarness(monkeypatch)


async def test_a_refusal_ends_an_outage_so_that_a_later_blip_is_waited_out(harness):
    with pytest.raises(StoreUnavailable):
        await harness.call(AWAY)
    harness.now += 5  # the breaker lets one through
    with pytest.raises(NotFound):
        await harness.call(REFUSED)
    harness.now += 3600
    assert await harness.call(AWAY, "stored") == "stored"


async def test_an_outage_begins_no_earlier_than_the_last_answer(harness):
    async def other() -> None:
        assert await harness.call("stored") == "stored"

    async def attempt() -> str:
        if not first:
            return "stored"
        first.clear()
        harness.now += 100  # a call that hangs, while others are answered
        await other()
        raise AWAY

    first = [True]
    assert await harness.retry.call(attempt) == "stored"


@pytest.mark.parametrize("error", [asyncio.CancelledError(), ValueError("a mistake of ours")])
async def test_what_the_store_did_not_answer_closes_no_breaker(harness, error):
    with pytest.raises(StoreUnavailable):
        await harness.call(AWAY)
    assert harness.breaker.state is BreakerState.OPEN
    harness.now += 5
    for _ in range(3):
        with pytest.raises(type(error)):
            await harness.call(error)
    assert harness.breaker.state is BreakerState.HALF_OPEN
    assert harness.breaker.admit() == 0, "the trial is free again"
