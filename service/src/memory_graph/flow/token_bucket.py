"""L3: a token bucket whose rate follows the latency of the store."""

from __future__ import annotations

from collections.abc import Callable

START_RATE = 10_000.0
"""Operations a second before the first observation (contract §3)."""
MIN_RATE, MAX_RATE = 500.0, 200_000.0
_RISE = 1.1
_FALL = 0.7
_BURST_S = 0.25


class TokenBucket:
    """Paces operations. The rate rises by a tenth with each write that is quick and had to wait, and falls by three
    tenths with each that is slow.

    target_s: the longest time of a quick write, in seconds. clock: monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float], *, rate: float = START_RATE, target_s: float = 1.0) -> None:
        self.rate = rate
        self._clock = clock
        self._target_s = target_s
        self._tokens = rate * _BURST_S
        self._refilled_at = clock()
        self._was_short = False

    def take(self, amount: int) -> float:
        """Takes tokens, into debt if need be, and returns the seconds to wait before going on."""
        now = self._clock()
        self._tokens = min(self._tokens + (now - self._refilled_at) * self.rate, self.rate * _BURST_S)
        self._refilled_at = now
        self._tokens -= amount
        wait = -self._tokens / self.rate if self._tokens < 0 else 0.0
        self._was_short = self._was_short or wait > 0
        return wait

    def observe(self, seconds: float) -> None:
        """Adjusts the rate to a write that took so many seconds."""
        if seconds > self._target_s:
            self.rate = max(self.rate * _FALL, MIN_RATE)
        elif self._was_short:
            self.rate = min(self.rate * _RISE, MAX_RATE)
        self._was_short = False
