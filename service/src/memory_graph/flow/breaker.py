"""L4: a circuit breaker by failure rate, with half-open trials. Sans-IO: it says how long to wait, and never waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import IntEnum

import msgspec


class State(IntEnum):
    """The numbers are those of the metric circuit_breaker_state (contract §8)."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """When a breaker opens and closes.

    failure_rate: share of the last `window` calls that must have failed, once `least_calls` were made.
    recovery_s: time it stays open. trials: calls let through then; all must succeed for it to close.
    """

    failure_rate: float
    recovery_s: float
    trials: int
    window: int = 20
    least_calls: int = 3


class CircuitBreaker:
    """The state of one dependency. Every call that was `admit`ted is followed by `succeeded`, `failed` or `abandoned`
    with the `permit` it had: what was admitted in an earlier state says nothing of this one.

    clock: monotonic, in seconds. changed: told of every new state, and of the first. permit: of calls admitted now.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float], changed: Callable[[State], None]) -> None:
        self._limits = limits
        self._clock = clock
        self._changed = changed
        self._outcomes: deque[bool] = deque(maxlen=limits.window)
        self._opened_at = 0.0
        self._trying = self._tried = 0
        self.permit = 0
        self.state = State.CLOSED
        changed(self.state)

    def admit(self) -> float:
        """0 when a call may be made now, and it must be; else how long to wait before asking again, in seconds."""
        if self.state is State.OPEN:
            left = self._opened_at + self._limits.recovery_s - self._clock()
            if left > 0:
                return left
            self._trying = self._tried = 0
            self._become(State.HALF_OPEN)
        if self.state is State.HALF_OPEN:
            if self._trying + self._tried >= self._limits.trials:
                return self._limits.recovery_s / 10
            self._trying += 1
        return 0.0

    def succeeded(self, permit: int) -> None:
        """The dependency answered a call."""
        if permit != self.permit:
            return
        self._ended(False)
        if self.state is State.HALF_OPEN and self._tried >= self._limits.trials:
            self._outcomes.clear()
            self._become(State.CLOSED)

    def failed(self, permit: int) -> None:
        """A call failed by the dependency's fault."""
        if permit != self.permit:
            return
        self._ended(True)
        broken = sum(self._outcomes) / len(self._outcomes) >= self._limits.failure_rate
        enough = len(self._outcomes) >= self._limits.least_calls
        if self.state is State.HALF_OPEN or (broken and enough):
            self._opened_at = self._clock()
            self._outcomes.clear()
            self._become(State.OPEN)

    def abandoned(self, permit: int) -> None:
        """A call ended without an answer, by its caller's will or mistake: another may try in its place."""
        if permit == self.permit and self.state is State.HALF_OPEN:
            self._trying -= 1

    def _ended(self, failed: bool) -> None:
        self._outcomes.append(failed)
        if self.state is State.HALF_OPEN:
            self._trying -= 1
            self._tried += 1

    def _become(self, state: State) -> None:
        self.permit += 1
        self.state = state
        self._changed(state)
