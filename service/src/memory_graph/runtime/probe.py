"""The health probe of both processes: whether the store can be read and written, and how large the graph is.

Reading is tried every second. Writing is proven by the writes there are; where there are none a row that means nothing
is written, at random moments so that many processes on one database do not write at once.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from memory_graph.model.errors import GraphError, StoreCorrupt, StoreUnavailable
from memory_graph.telemetry.measured import MeasuredStore
from memory_graph.telemetry.metrics import Metrics

HEALTH_INTERVAL_S = 1.0
"""How often the store is read."""
WRITE_CHECK_INTERVAL_S = 30.0
"""The longest that a store which cannot write goes unnoticed where nobody writes."""
WRITE_RECHECK_INTERVAL_S = 5.0
"""The same where somebody writes; and the longest until a store that can write again is trusted again."""
GRAPH_SIZE_INTERVAL_S = 5.0
"""How often the graph is measured."""
READ_TIMEOUT_S = 5.0
WRITE_TIMEOUT_S = 15.0
READY_TTL_S = 30.0
"""How long an answer counts: where the event loop or the store stands still, readiness ends by itself."""
_log = structlog.get_logger(__name__)

Clock = Callable[[], float]
T = TypeVar("T")


class StoreProbe:
    """Readiness as far as the store decides it.

    changed: told whenever `serving` changes, and of the first answer. clock: monotonic, in seconds.
    """

    def __init__(
        self,
        store: MeasuredStore,
        metrics: Metrics,
        changed: Callable[[bool], Awaitable[None]] | None = None,
        *,
        clock: Clock = time.monotonic,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._changed = changed
        self._clock = clock
        self._writing = _WriteProof(store, clock)
        self._answer: bool | None = None
        self._answered_at = self._measured_at = float("-inf")

    @property
    def serving(self) -> bool:
        """Whether requests can be answered now. For any thread."""
        return self._answer is True and self._clock() - self._answered_at < READY_TTL_S

    async def health_loop(self) -> None:
        """Probes again and again until it is cancelled."""
        while True:
            await self.probe()
            await asyncio.sleep(HEALTH_INTERVAL_S)

    async def probe(self) -> None:
        """Tries the store once and tells what came of it. Raises what is no failure of the store's."""
        try:
            await _within(READ_TIMEOUT_S, self._store.ping())
            await self._writing.check()
            await self._measure()
        except (StoreUnavailable, StoreCorrupt) as error:
            self._writing.doubt()
            await self._tell(False, error)
        else:
            await self._tell(True)

    async def _measure(self) -> None:
        if self._clock() - self._measured_at < GRAPH_SIZE_INTERVAL_S:
            return
        totals = await _within(READ_TIMEOUT_S, self._store.totals())
        self._metrics.set_graph_size(nodes=totals.nodes, edges=totals.edges, active_sessions=totals.active_sessions)
        self._measured_at = self._clock()

    async def _tell(self, serving: bool, error: GraphError | None = None) -> None:
        self._answered_at = self._clock()
        if serving is self._answer:
            return
        self._answer = serving
        if serving:
            _log.info("serving")
        else:
            _log.error("store unavailable", reason=str(error))
        if self._changed is not None:
            await self._changed(serving)


class _WriteProof:
    """Whether the store can write, from the writes of others where there are any."""

    def __init__(self, store: MeasuredStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._refusal: GraphError | None = None
        self._known_at = self._next_at = float("-inf")

    async def check(self) -> None:
        """Raises why the store cannot write."""
        if self._store.written_at > self._known_at:
            self._know(self._store.written_at, None)
        now = self._clock()
        refused = self._store.refused_at > self._known_at
        if now >= self._next_at or (refused and now >= self._known_at + WRITE_RECHECK_INTERVAL_S):
            try:
                await _within(WRITE_TIMEOUT_S, self._store.check_writable())
            except (StoreUnavailable, StoreCorrupt) as error:
                self._know(now, error)
            else:
                self._know(now, None)
        if self._refusal is not None:
            raise self._refusal

    def doubt(self) -> None:
        """Says that a proof from before counts no more, because the store was away."""
        if self._refusal is None:
            self._next_at = float("-inf")

    def _know(self, at: float, refusal: GraphError | None) -> None:
        self._known_at, self._refusal = at, refusal
        limit = WRITE_CHECK_INTERVAL_S if refusal is None else WRITE_RECHECK_INTERVAL_S
        self._next_at = at + random.uniform(limit / 2, limit)  # noqa: S311 - spreads the checks of many processes


async def _within(seconds: float, answer: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await answer
    except TimeoutError:
        raise StoreUnavailable(
            f"the store has not answered within {seconds:g} s, or its schema is still being made; check its load and"
            " its volume if this goes on"
        ) from None
