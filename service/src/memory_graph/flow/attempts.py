"""Calls of a dependency that may be away: broken off by a breaker, made again after pauses, given up at last."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from memory_graph.flow.breaker import CircuitBreaker
from memory_graph.model.errors import StoreUnavailable

_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _JITTER = 0.1, 5.0, 0.1

T = TypeVar("T")


class Attempts:
    """Calls of the store. patience_s: how long it may be away until calls fail. draining: set when nothing is to wait
    any more. clock: monotonic, in seconds."""

    def __init__(
        self, breaker: CircuitBreaker, *, patience_s: float, draining: asyncio.Event, clock: Callable[[], float]
    ) -> None:
        self._breaker = breaker
        self._patience_s = patience_s
        self._draining = draining
        self._clock = clock
        self._away_since: float | None = None

    async def call(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Raises `StoreUnavailable` once patience has ended, and at once whatever else the attempt raises."""
        pause = _FIRST_PAUSE_S
        while True:
            await self._admitted()
            began = self._clock()
            try:
                result = await attempt()
            except StoreUnavailable:
                self._breaker.failed()
                if self._away_since is None:
                    self._away_since = began
                if self._given_up():
                    raise
                await self._sleep(pause * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311 - spreads retries
                pause = min(pause * 2, _LONGEST_PAUSE_S)
            except BaseException:
                self._breaker.succeeded()
                raise
            else:
                self._breaker.succeeded()
                self._away_since = None
                return result

    async def _admitted(self) -> None:
        while wait := self._breaker.admit():
            if self._given_up():
                raise StoreUnavailable("the store is away; send what was not acknowledged again")
            await self._sleep(wait)

    def _given_up(self) -> bool:
        if self._draining.is_set():
            return True
        return self._away_since is not None and self._clock() - self._away_since > self._patience_s

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._draining.wait()
        except TimeoutError:
            pass
