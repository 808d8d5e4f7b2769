"""A semaphore that counts bytes. Callers that do not fit wait: sources in turn, and each source in order of arrival."""

from __future__ import annotations

import asyncio

from memory_graph.flow.fair_queue import FairQueue


class ByteSemaphore:
    """Bounds the bytes that its callers hold together. A caller larger than the limit gets it alone, so that none waits
    for ever.

    limit: most bytes held.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue()
        self.held = 0

    @property
    def percent(self) -> float:
        """The share of the limit that is held."""
        return 100 * self.held / self._limit

    async def acquire(self, size: int, source: str = "") -> None:
        """Waits until `size` bytes may be held, and holds them until `release`. A caller that is cancelled holds none.
        source: shares its turn with others of the same name where many wait."""
        if not self._waiting and self._fits(size):
            self.held += size
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.put(source, turn, size)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release(size)
            else:
                self._admit()
            raise

    def release(self, size: int) -> None:
        """Gives bytes back."""
        self.held -= size
        self._admit()

    def _fits(self, size: int) -> bool:
        return not self.held or self.held + size <= self._limit

    def _admit(self) -> None:
        while self._waiting:
            turn, size = self._waiting.peek()
            if not turn.done():
                if not self._fits(size):
                    return
                self.held += size
                turn.set_result(None)
            self._waiting.take()
