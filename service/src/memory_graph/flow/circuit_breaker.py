"""L4: a circuit breaker by failure rate, with half-open trials. Sans-IO: it returns the time to wait, and never
waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import IntEnum

import msgspec


class BreakerState(IntEnum):
    """The states of a breaker, with the numbers of the metric circuit_breaker_state (contract §8)."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class BreakerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """When a breaker opens and closes.

    failure_rate: share of the last `window` calls that must have failed, once `min_calls` were made.
    recovery_s: time it stays open. trials: calls let through then; all must succeed for it to close.
    """

    failure_rate: float
    recovery_s: float
    trials: int
    window: int = 20
    min_calls: int = 3


class CircuitBreaker:
    """A circuit breaker for one dependency. Every call that was `admit`ted is followed by `succeeded`, `failed` or
    `abandoned` with the `permit` it had: outcomes of calls that were admitted in an earlier state are ignored.

    clock: monotonic, in seconds. on_change: called with every new state, and with the first. permit: of calls admitted
    now.
    """

    def __init__(
        self, limits: BreakerLimits, clock: Callable[[], float], on_change: Callable[[BreakerState], None]
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._on_change = on_change
        self._outcomes: deque[bool] = deque(maxlen=limits.window)
        self._opened_at = 0.0
        self._trials_running = self._trials_ended = 0
        self.permit = 0
        self.state = BreakerState.CLOSED
        on_change(self.state)

    def admit(self) -> float:
        """Returns 0 when a call may be made now, and then must be made; else the seconds to wait before the next
        try."""
        if self.state is BreakerState.OPEN:
            remaining = self._opened_at + self._limits.recovery_s - self._clock()
            if remaining > 0:
                return remaining
            self._trials_running = self._trials_ended = 0
            self._transition(BreakerState.HALF_OPEN)
        if self.state is BreakerState.HALF_OPEN:
            if self._trials_running + self._trials_ended >= self._limits.trials:
                return self._limits.recovery_s / 10
            self._trials_running += 1
        return 0.0

    def succeeded(self, permit: int) -> None:
        """The dependency answered a call."""
        if permit != self.permit:
            return
        self._ended(False)
        if self.state is BreakerState.HALF_OPEN and self._trials_ended >= self._limits.trials:
            self._outcomes.clear()
            self._transition(BreakerState.CLOSED)

    def failed(self, permit: int) -> None:
        """A call failed, and the dependency is the cause."""
        if permit != self.permit:
            return
        self._ended(True)
        broken = sum(self._outcomes) / len(self._outcomes) >= self._limits.failure_rate
        enough = len(self._outcomes) >= self._limits.min_calls
        if self.state is BreakerState.HALF_OPEN or (broken and enough):
            self._opened_at = self._clock()
            self._outcomes.clear()
            self._transition(BreakerState.OPEN)

    def abandoned(self, permit: int) -> None:
        """A call ended without an answer, cancelled or failed by its caller: another may be tried in its place."""
        if permit == self.permit and self.state is BreakerState.HALF_OPEN:
            self._trials_running -= 1

    def _ended(self, failed: bool) -> None:
        self._outcomes.append(failed)
        if self.state is BreakerState.HALF_OPEN:
            self._trials_running -= 1
            self._trials_ended += 1

    def _transition(self, state: BreakerState) -> None:
        self.permit += 1
        self.state = state
        self._on_change(state)
