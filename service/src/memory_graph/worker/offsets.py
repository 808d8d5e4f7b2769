"""The offsets that may be committed: every record before them is durable. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

Partition = tuple[str, int]
"""Topic and number."""


class InFlightRange:
    """Records of one partition from one batch. next_offset: the offset after the last of them. done: whether all of
    them are durable."""

    __slots__ = ("done", "next_offset", "partition")

    def __init__(self, partition: Partition, next_offset: int) -> None:
        self.partition = partition
        self.next_offset = next_offset
        self.done = False


class Offsets:
    """The ranges in flight of the partitions of this process. A range that ends out of order waits for those before
    it."""

    def __init__(self) -> None:
        self._ranges: dict[Partition, deque[InFlightRange]] = {}
        self._done: dict[Partition, int] = {}
        self._committed: dict[Partition, int] = {}

    def begin(self, partition: Partition, next_offset: int) -> InFlightRange:
        """Begin a range that ends before `next_offset`."""
        in_flight = InFlightRange(partition, next_offset)
        self._ranges.setdefault(partition, deque()).append(in_flight)
        return in_flight

    def end(self, in_flight: InFlightRange) -> None:
        """Mark a range as durable or in the dead letters. Of a partition that was revoked meanwhile it has no
        effect."""
        in_flight.done = True
        waiting = self._ranges.get(in_flight.partition)
        while waiting and waiting[0].done:
            self._done[in_flight.partition] = waiting.popleft().next_offset

    def committable(self, partitions: Collection[Partition] | None = None) -> dict[Partition, int]:
        """Return the offsets that have moved, of all partitions or of those named, and count them as committed."""
        moved = {
            partition: offset
            for partition, offset in self._done.items()
            if self._committed.get(partition) != offset and (partitions is None or partition in partitions)
        }
        self._committed.update(moved)
        return moved

    def refused(self, partitions: Collection[Partition]) -> None:
        """Commit the offsets of partitions again: their last commit failed."""
        for partition in partitions:
            self._committed.pop(partition, None)

    def in_flight(self, partitions: Collection[Partition]) -> bool:
        """Whether records of the partitions are not durable yet."""
        return any(self._ranges.get(partition) for partition in partitions)

    def forget(self, partitions: Collection[Partition]) -> None:
        """They belong to another process now, or to this one anew: what is still under way changes nothing here."""
        for partition in partitions:
            self._ranges.pop(partition, None)
            self._done.pop(partition, None)
            self._committed.pop(partition, None)
