"""Who goes next where several kinds wait: each in turn, by weight (start-time fair queueing)."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """A queue for each kind, first in, first out. Kinds that wait get the same share of what is taken, by weight,
    however many of another kind wait; one that has not waited has no claim on what others got meanwhile."""

    def __init__(self) -> None:
        self._queues: defaultdict[str, deque[tuple[T, int]]] = defaultdict(deque)
        self._had: defaultdict[str, int] = defaultdict(int)
        self._level = 0

    def __bool__(self) -> bool:
        return any(self._queues.values())

    def put(self, kind: str, item: T, weight: int) -> None:
        """Adds an item at the end of its kind."""
        queue = self._queues[kind]
        if not queue:
            self._had[kind] = max(self._had[kind], self._level)
        queue.append((item, weight))

    def first(self, kind: str) -> T | None:
        """What is next of a kind, None where nothing waits."""
        queue = self._queues.get(kind)
        return queue[0][0] if queue else None

    def peek(self) -> tuple[T, int]:
        """What `take` would take, and its weight. Raises `ValueError` where nothing waits."""
        return self._queues[self._next()][0]

    def take(self) -> tuple[T, int]:
        """Takes what is next, with its weight. Raises `ValueError` where nothing waits."""
        kind = self._next()
        item, weight = self._queues[kind].popleft()
        self._level = self._had[kind]
        self._had[kind] += weight
        return item, weight

    def _next(self) -> str:
        return min((kind for kind, queue in self._queues.items() if queue), key=self._had.__getitem__)
