"""How many bytes may be held at once. Who wants more waits, kinds in turn and each in the order of
coming; nothing is dropped."""

from __future__ import annotations

import asyncio

from memory_graph.flow.turns import Turns


class ByteBudget:
    """A bound in bytes that is shared by those who hold them.

    limit: most bytes held. One holder alone may exceed it, so that none waits for ever.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: Turns[asyncio.Future[None]] = Turns()
        self.held = 0

    @property
    def percent(self) -> float:
        """How much of the limit is held."""
        return 100 * self.held / self._limit

    async def reserve(self, size: int, kind: str = "") -> None:
        """Returns when `size` bytes may be held; they are until `release`. A caller that is cancelled holds none.
        kind: whose turn it shares where many wait."""
        if not self._waiting and self._fits(size):
            self.held += size
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.put(kind, turn, size)
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
