"""The health probe of both processes: whether the store can be read and written, and how large the graph is.

It reads every second. The writes of others prove that the store can be written; without any, the probe writes a row of
its own, at random times so that many processes on one database do not write at once.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from memory_graph.model.errors import GraphError, StoreCorrupt, StoreUnavailable
from memory_graph.telemetry.instrumented_store import InstrumentedStore
from memory_graph.telemetry.metrics import Metrics

HEALTH_INTERVAL_S = 1.0
"""How often the store is read."""
WRITE_CHECK_INTERVAL_S = 30.0
"""The longest time until a store that cannot write is noticed, while nobody writes."""
WRITE_RECHECK_INTERVAL_S = 5.0
"""The same while somebody writes; and the longest time until a store that can write again is serving again."""
GRAPH_SIZE_INTERVAL_S = 5.0
"""How often the graph is measured."""
READ_TIMEOUT_S = 5.0
WRITE_TIMEOUT_S = 15.0
READY_TTL_S = 30.0
"""How long the result of a probe counts: when the event loop or the store hangs, readiness ends by itself."""
_log = structlog.get_logger(__name__)

Clock = Callable[[], float]
T = TypeVar("T")


class StoreProbe:
    """Readiness, as far as it depends on the store.

    on_change: called whenever `serving` changes, and with the first result. clock: monotonic, in seconds.
    """

    def __init__(
        self,
        store: InstrumentedStore,
        metrics: Metrics,
        on_change: Callable[[bool], Awaitable[None]] | None = None,
        *,
        clock: Clock = time.monotonic,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._on_change = on_change
        self._clock = clock
        self._writing = _WriteProof(store, clock)
        self._is_serving: bool | None = None
        self._probed_at = self._measured_at = float("-inf")

    @property
    def serving(self) -> bool:
        """Whether requests can be answered now. Safe in any thread."""
        return self._is_serving is True and self._clock() - self._probed_at < READY_TTL_S

    async def health_loop(self) -> None:
        """Probe at intervals until cancelled."""
        while True:
            await self.probe()
            await asyncio.sleep(HEALTH_INTERVAL_S)

    async def probe(self) -> None:
        """Probe the store once and report the result. Raises errors that are not the store's."""
        try:
            await _with_timeout(READ_TIMEOUT_S, self._store.ping())
            await self._writing.check()
            await self._measure()
        except (StoreUnavailable, StoreCorrupt) as error:
            self._writing.doubt()
            await self._report(False, error)
        else:
            await self._report(True)

    async def _measure(self) -> None:
        if self._clock() - self._measured_at < GRAPH_SIZE_INTERVAL_S:
            return
        totals = await _with_timeout(READ_TIMEOUT_S, self._store.totals())
        self._metrics.set_graph_size(nodes=totals.nodes, edges=totals.edges, active_sessions=totals.active_sessions)
        self._measured_at = self._clock()

    async def _report(self, serving: bool, error: GraphError | None = None) -> None:
        self._probed_at = self._clock()
        if serving is self._is_serving:
            return
        self._is_serving = serving
        if serving:
            _log.info("serving")
        else:
            _log.error("store unavailable", reason=str(error))
        if self._on_change is not None:
            await self._on_change(serving)


class _WriteProof:
    """Whether the store can write: proven by the writes of others, else by its own."""

    def __init__(self, store: InstrumentedStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._refusal: GraphError | None = None
        self._proven_at = self._due_at = float("-inf")

    async def check(self) -> None:
        """Raise the reason why the store cannot write, if there is one."""
        if self._store.written_at > self._proven_at:
            self._record(self._store.written_at, None)
        now = self._clock()
        refused = self._store.refused_at > self._proven_at
        if now >= self._due_at or (refused and now >= self._proven_at + WRITE_RECHECK_INTERVAL_S):
            try:
                await _with_timeout(WRITE_TIMEOUT_S, self._store.check_writable())
            except (StoreUnavailable, StoreCorrupt) as error:
                self._record(now, error)
            else:
                self._record(now, None)
        if self._refusal is not None:
            raise self._refusal

    def doubt(self) -> None:
        """Discard the last proof: the store was away since."""
        if self._refusal is None:
            self._due_at = float("-inf")

    def _record(self, at: float, refusal: GraphError | None) -> None:
        self._proven_at, self._refusal = at, refusal
        limit = WRITE_CHECK_INTERVAL_S if refusal is None else WRITE_RECHECK_INTERVAL_S
        self._due_at = at + random.uniform(limit / 2, limit)  # noqa: S311 - spreads the checks of many processes


async def _with_timeout(seconds: float, answer: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await answer
    except TimeoutError:
        raise StoreUnavailable(
            f"the store has not answered within {seconds:g} s, or its schema is still being made; check its load and"
            " its volume if this goes on"
        ) from None
