"""L3: a token bucket whose rate follows what the store bears."""

from __future__ import annotations

from collections.abc import Callable

START_RATE = 10_000.0
"""Operations a second before anything is known (contract §3)."""
LEAST_RATE, MOST_RATE = 500.0, 200_000.0
_RISE = 1.1
_FALL = 0.7
_BURST_S = 0.25


class TokenBucket:
    """Paces operations. The rate rises by a tenth with each write that is quick and had to wait, and falls by three
    tenths with each that is slow.

    target_s: what a write may take and still be quick, in seconds. clock: monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float], *, rate: float = START_RATE, target_s: float = 1.0) -> None:
        self.rate = rate
        self._clock = clock
        self._target_s = target_s
        self._tokens = rate * _BURST_S
        self._at = clock()
        self._short = False

    def take(self, amount: int) -> float:
        """Takes tokens, into debt if need be. Yields how long to wait before going on, in seconds."""
        now = self._clock()
        self._tokens = min(self._tokens + (now - self._at) * self.rate, self.rate * _BURST_S)
        self._at = now
        self._tokens -= amount
        wait = -self._tokens / self.rate if self._tokens < 0 else 0.0
        self._short = self._short or wait > 0
        return wait

    def learn(self, seconds: float) -> None:
        """Is told how long a write took."""
        if seconds > self._target_s:
            self.rate = max(self.rate * _FALL, LEAST_RATE)
        elif self._short:
            self.rate = min(self.rate * _RISE, MOST_RATE)
        self._short = False
