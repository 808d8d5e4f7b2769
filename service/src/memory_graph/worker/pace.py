"""How many records are taken at once: as many as the store takes within about a second (contract §3, adaptive)."""

from __future__ import annotations

LEAST = 50
"""Fewer are not worth a round."""
_QUICK_S, _SLOW_S = 0.5, 2.0
_RISE = 1.25


class Pace:
    """The number of records a take asks for. It halves with a take that was slow, and rises by a quarter with one that
    was full and quick.

    most: the setting KAFKA_MAX_POLL_RECORDS, where it begins and which it never exceeds.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.records = most

    def learn(self, records: int, seconds: float) -> None:
        """Is told how long it took until all records of a take were durable."""
        if seconds > _SLOW_S:
            self.records = max(self.records // 2, min(LEAST, self._most))
        elif seconds < _QUICK_S and records >= self.records:
            self.records = min(int(self.records * _RISE) + 1, self._most)
