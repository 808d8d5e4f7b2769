"""L1: what has been accepted and is not done yet, bounded in bytes: kinds in turn, each first in, first out."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

from memory_graph.flow.budget import ByteBudget
from memory_graph.flow.turns import Turns

T = TypeVar("T")


class ByteBuffer(Generic[T]):
    """A buffer between sources and one taker. Bytes count from `reserve`, before an item is decoded, to `done`, when
    what became of it is known: what is being worked on is in the bound.

    limit: most bytes, as in `ByteBudget`.
    """

    def __init__(self, limit: int) -> None:
        self.budget = ByteBudget(limit)
        self._items: Turns[T] = Turns()
        self._arrived = asyncio.Event()
        self._closed = False

    def put(self, item: T, weight: int, kind: str = "") -> None:
        """Adds an item whose bytes are reserved. weight: what `take` counts, say events. kind: whose turn it shares."""
        self._items.put(kind, item, weight)
        self._arrived.set()

    def oldest(self, kind: str = "") -> T | None:
        """What is taken next of a kind, None where nothing waits."""
        return self._items.first(kind)

    def close(self) -> None:
        """Lets `take` end once it is empty."""
        self._closed = True
        self._arrived.set()

    def clear(self) -> list[T]:
        """Takes all that waits."""
        taken = []
        while self._items:
            taken.append(self._items.take()[0])
        return taken

    async def take(self, most: int) -> list[T]:
        """Waits for an item, and yields what has arrived, kinds in turn, up to a weight of `most`, but at least one.
        Empty once closed and empty."""
        while not self._items:
            if self._closed:
                return []
            self._arrived.clear()
            await self._arrived.wait()
        item, weight = self._items.take()
        taken = [item]
        while self._items and weight + self._items.peek()[1] <= most:
            item, more = self._items.take()
            taken.append(item)
            weight += more
        return taken
