"""L1: a buffer of accepted items, bounded in bytes: sources in turn, each first in, first out."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

from memory_graph.flow.byte_semaphore import ByteSemaphore
from memory_graph.flow.fair_queue import FairQueue

T = TypeVar("T")


class ByteBuffer(Generic[T]):
    """A buffer between sources and one consumer. Bytes are held from `semaphore.acquire`, before an item is decoded, to
    `semaphore.release`, when its outcome is known: items in work count too.

    limit: most bytes, as in `ByteSemaphore`.
    """

    def __init__(self, limit: int) -> None:
        self.semaphore = ByteSemaphore(limit)
        self._items: FairQueue[T] = FairQueue()
        self._arrived = asyncio.Event()
        self._closed = False

    def put(self, item: T, weight: int, source: str = "") -> None:
        """Adds an item whose bytes are acquired. weight: its size as `take` counts it, say in events."""
        self._items.put(source, item, weight)
        self._arrived.set()

    def oldest(self, source: str = "") -> T | None:
        """Returns the next item of a source, None where none waits."""
        return self._items.first(source)

    def close(self) -> None:
        """Lets `take` end once it is empty."""
        self._closed = True
        self._arrived.set()

    def clear(self) -> list[T]:
        """Takes all items that wait."""
        items = []
        while self._items:
            items.append(self._items.take()[0])
        return items

    async def take(self, max_weight: int) -> list[T]:
        """Waits for an item and returns what has arrived, sources in turn: at least one item, and no more than fit into
        `max_weight`. Returns an empty list once the buffer is closed and empty."""
        while not self._items:
            if self._closed:
                return []
            self._arrived.clear()
            await self._arrived.wait()
        item, weight = self._items.take()
        items = [item]
        while self._items and weight + self._items.peek()[1] <= max_weight:
            item, more = self._items.take()
            items.append(item)
            weight += more
        return items
