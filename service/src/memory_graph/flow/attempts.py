"""Calls of a dependency that may be away: broken off by a breaker, made again after pauses, given up at last."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from memory_graph.flow.breaker import CircuitBreaker
from memory_graph.model.errors import GraphError, StoreUnavailable

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
        self._answered_at = clock()

    async def call(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Raises `StoreUnavailable` once patience has ended, and at once whatever else the attempt raises. An error of
        the graph is an answer: the store is there. Any other, and a cancelled call, says nothing of it."""
        pause = _FIRST_PAUSE_S
        while True:
            await self._admitted()
            permit, began = self._breaker.permit, self._clock()
            try:
                result = await attempt()
            except StoreUnavailable:
                self._breaker.failed(permit)
                if self._away_since is None:
                    self._away_since = max(began, self._answered_at)
                if self._given_up():
                    raise
                await self._sleep(pause * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311 - spreads retries
                pause = min(pause * 2, _LONGEST_PAUSE_S)
            except GraphError:
                self._answered(permit)
                raise
            except BaseException:
                self._breaker.abandoned(permit)
                raise
            else:
                self._answered(permit)
                return result

    def _answered(self, permit: int) -> None:
        self._breaker.succeeded(permit)
        self._answered_at = self._clock()
        self._away_since = None

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
