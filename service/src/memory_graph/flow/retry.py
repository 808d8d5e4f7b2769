"""Retries of calls to the store: admitted by a circuit breaker, repeated with exponential backoff, bounded in time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from memory_graph.flow.circuit_breaker import CircuitBreaker
from memory_graph.model.errors import GraphError, StoreUnavailable

_MIN_BACKOFF_S, _MAX_BACKOFF_S, _JITTER = 0.1, 5.0, 0.1

T = TypeVar("T")


class RetryPolicy:
    """Retries calls to the store while it is unavailable. max_wait_s: how long it may be away until calls fail.
    draining: set when no call is to wait any more. clock: monotonic, in seconds."""

    def __init__(
        self, breaker: CircuitBreaker, *, max_wait_s: float, draining: asyncio.Event, clock: Callable[[], float]
    ) -> None:
        self._breaker = breaker
        self._max_wait_s = max_wait_s
        self._draining = draining
        self._clock = clock
        self._unavailable_since: float | None = None
        self._answered_at = clock()

    async def call(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Makes a call, and returns its result. Raises `StoreUnavailable` once `max_wait_s` has passed, and any other
        error of the attempt at once. A `GraphError` proves that the store answers; any other error, and a cancelled
        call, proves nothing about it."""
        backoff = _MIN_BACKOFF_S
        while True:
            await self._admitted()
            permit, began = self._breaker.permit, self._clock()
            try:
                result = await attempt()
            except StoreUnavailable:
                self._breaker.failed(permit)
                if self._unavailable_since is None:
                    self._unavailable_since = max(began, self._answered_at)
                if self._is_exhausted():
                    raise
                await self._sleep(backoff * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311 - spreads retries
                backoff = min(backoff * 2, _MAX_BACKOFF_S)
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
        self._unavailable_since = None

    async def _admitted(self) -> None:
        while wait := self._breaker.admit():
            if self._is_exhausted():
                raise StoreUnavailable("the store is away; send what was not acknowledged again")
            await self._sleep(wait)

    def _is_exhausted(self) -> bool:
        if self._draining.is_set():
            return True
        return self._unavailable_since is not None and self._clock() - self._unavailable_since > self._max_wait_s

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._draining.wait()
        except TimeoutError:
            pass
