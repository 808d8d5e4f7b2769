"""A fair queue over sources (start-time fair queueing)."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """A queue for each source, first in, first out. Sources that wait get the same share of what is taken, by weight,
    however many items of another source wait; a source that was idle has no claim on what the others got meanwhile."""

    def __init__(self) -> None:
        self._queues: defaultdict[str, deque[tuple[T, int]]] = defaultdict(deque)
        self._virtual_finish: defaultdict[str, int] = defaultdict(int)
        self._virtual_time = 0

    def __bool__(self) -> bool:
        return any(self._queues.values())

    def put(self, source: str, item: T, weight: int) -> None:
        """Adds an item at the end of its source's queue."""
        queue = self._queues[source]
        if not queue:
            self._virtual_finish[source] = max(self._virtual_finish[source], self._virtual_time)
        queue.append((item, weight))

    def first(self, source: str) -> T | None:
        """Returns the next item of a source, None where none waits."""
        queue = self._queues.get(source)
        return queue[0][0] if queue else None

    def peek(self) -> tuple[T, int]:
        """Returns the item that `take` would take, and its weight. Raises `ValueError` where nothing waits."""
        return self._queues[self._next()][0]

    def take(self) -> tuple[T, int]:
        """Takes the next item, with its weight. Raises `ValueError` where nothing waits."""
        source = self._next()
        item, weight = self._queues[source].popleft()
        self._virtual_time = self._virtual_finish[source]
        self._virtual_finish[source] += weight
        return item, weight

    def _next(self) -> str:
        waiting = (source for source, queue in self._queues.items() if queue)
        return min(waiting, key=self._virtual_finish.__getitem__)
