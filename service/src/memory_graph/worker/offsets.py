"""How far each partition is done: everything before an offset that may be committed is durable. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

Partition = tuple[str, int]
"""Topic and number."""


class Span:
    """Records of one partition that were taken together. following: the offset after the last of them."""

    __slots__ = ("done", "following", "partition")

    def __init__(self, partition: Partition, following: int) -> None:
        self.partition = partition
        self.following = following
        self.done = False


class Offsets:
    """The spans of the partitions this process has. What ends out of order waits for what was taken before it."""

    def __init__(self) -> None:
        self._spans: dict[Partition, deque[Span]] = {}
        self._done: dict[Partition, int] = {}
        self._committed: dict[Partition, int] = {}

    def begin(self, partition: Partition, following: int) -> Span:
        """Records up to `following` were taken."""
        span = Span(partition, following)
        self._spans.setdefault(partition, deque()).append(span)
        return span

    def end(self, span: Span) -> None:
        """All of its records are durable or with the dead letters. Of a partition given up meanwhile: nothing."""
        span.done = True
        waiting = self._spans.get(span.partition)
        while waiting and waiting[0].done:
            self._done[span.partition] = waiting.popleft().following

    def committable(self, partitions: Collection[Partition] | None = None) -> dict[Partition, int]:
        """The offsets to commit, of all partitions or those named, where they have moved; they count as committed."""
        moved = {
            partition: offset
            for partition, offset in self._done.items()
            if self._committed.get(partition) != offset and (partitions is None or partition in partitions)
        }
        self._committed.update(moved)
        return moved

    def refused(self, partitions: Collection[Partition]) -> None:
        """Their last commit failed: they are to be committed again."""
        for partition in partitions:
            self._committed.pop(partition, None)

    def under_way(self, partitions: Collection[Partition]) -> bool:
        """Whether something of them was taken and is not done."""
        return any(self._spans.get(partition) for partition in partitions)

    def forget(self, partitions: Collection[Partition]) -> None:
        """They belong to another process now, or to this one anew: what is still under way changes nothing here."""
        for partition in partitions:
            self._spans.pop(partition, None)
            self._done.pop(partition, None)
            self._committed.pop(partition, None)
