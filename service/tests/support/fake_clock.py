"""A monotonic clock that tests set."""

from __future__ import annotations


class FakeClock:
    """Returns `now`, in seconds, when it is called."""

    now = 0.0

    def __call__(self) -> float:
        return self.now
