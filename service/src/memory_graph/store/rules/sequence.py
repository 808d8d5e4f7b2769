"""Numbers that only rise: recorded times, and `n`, the order in which nodes and edges were stored."""

from __future__ import annotations

from collections.abc import Callable


class HybridLogicalClock:
    """Follows a clock, and is never behind what this process gave out or has seen of others in the database.

    clock: recorded time in nanoseconds. Clocks of processes may differ by little or much; what one of them commits
    after it has seen a commit of another gets a later time all the same.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self.clock = clock
        self.recorded_at = 0
        self.n = 0

    def next_recorded_at(self) -> int:
        self.recorded_at = max(self.clock(), self.recorded_at + 1)
        return self.recorded_at

    def next_n(self) -> int:
        self.n = max(self.clock(), self.n + 1)
        return self.n

    def seen(self, recorded_at: int, n: int) -> None:
        """Takes note of numbers that are in the database."""
        self.recorded_at = max(self.recorded_at, recorded_at)
        self.n = max(self.n, n)
