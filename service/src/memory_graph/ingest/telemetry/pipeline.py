"""The one way of telemetry into the store: buffered, paced, coalesced, broken off while the store is away.

Sources reserve bytes, decode, and submit; they are told of each event once it is durable, or can never be. What is
accepted is never dropped: while the store is away it is held, the bound in bytes keeps sources from accepting more.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from itertools import groupby

import msgspec
import structlog

from memory_graph.flow.byte_buffer import ByteBuffer
from memory_graph.flow.circuit_breaker import BreakerLimits, BreakerState, CircuitBreaker
from memory_graph.flow.retry import RetryPolicy
from memory_graph.flow.token_bucket import TokenBucket
from memory_graph.ingest.conversations.waiting import WaitingLimits
from memory_graph.ingest.event import Event
from memory_graph.ingest.hooks import Hooks
from memory_graph.ingest.storing import Outcome, Storing
from memory_graph.ingest.telemetry.dead_letters import DeadLetters, GivenUp, without_a_queue
from memory_graph.ingest.telemetry.events import Rejected
from memory_graph.model import ids
from memory_graph.model.errors import StoreCorrupt, StoreUnavailable
from memory_graph.plugins import PluginHost
from memory_graph.store.protocol import GraphStore
from memory_graph.telemetry.ingestion import IngestionMetrics

__all__ = ["MAX_EVENTS", "Outcome", "Pipeline", "held_bytes"]

MAX_EVENTS = 500
"""Most events of one write."""
WAITING_LIMITS = WaitingLimits()
STORE_LIMITS = BreakerLimits(failure_rate=0.5, recovery_s=5.0, trials=3)
"""The store's breaker."""
_UNDER_WAY = 2
"""Writes at once: one is committed while the next is made, and waits for it: what came first is stored first."""
_ENDING = StoreUnavailable("the service is ending; send what was not acknowledged again")
_log = structlog.get_logger(__name__)


def held_bytes(sent: int) -> int:
    """About the memory that a body of so many bytes takes until it is durable: events of 50 to 200 bytes, the usual
    ones, take five to fourteen times as much once they are decoded."""
    return 8 * sent + 1024


class _Accepted(msgspec.Struct):
    tenant: str
    events: Sequence[Event]
    size: int
    at: float
    answer: asyncio.Future[list[Outcome]]


class Pipeline:
    """Stores events of all sources of one process. Belongs to the event loop it is used on.

    max_bytes: most memory of what is accepted and not durable. patience_s: how long the store may be away until
    what waits for it is refused with `StoreUnavailable`. draining: set when the process is to end; then nothing waits
    for a store that is away. given_up: where responses go that have waited in vain for their prompts; None: they are
    counted and logged like what is rejected. plugins: see prompts, responses and tool calls.

    failed: raises the mistake of the service that ended a write or the pipeline, when one did: then the process is to
    end. Whose events were in that write are told, its bytes are given back, and what a pipeline that has ended is given
    is answered with the same error.
    """

    def __init__(
        self,
        store: GraphStore,
        metrics: IngestionMetrics,
        dead_letters: DeadLetters,
        *,
        max_bytes: int,
        patience_s: float,
        draining: asyncio.Event,
        given_up: GivenUp | None = None,
        waiting: WaitingLimits = WAITING_LIMITS,
        plugins: PluginHost | None = None,
        limits: BreakerLimits = STORE_LIMITS,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], int] = time.time_ns,
        new_id: Callable[[], str] = ids.new_id,
    ) -> None:
        self._metrics = metrics
        self._dead_letters = dead_letters
        self._clock = clock
        self._buffer: ByteBuffer[_Accepted] = ByteBuffer(max_bytes)
        self._bucket = TokenBucket(clock)
        self._breaker = CircuitBreaker(limits, clock, self._switched)
        retry = RetryPolicy(self._breaker, max_wait_s=patience_s, draining=draining, clock=clock)
        self._storing = Storing(
            store,
            metrics,
            retry,
            self._bucket,
            given_up or without_a_queue(dead_letters),
            waiting,
            Hooks(plugins, new_id),
            clock=clock,
            new_id=new_id,
            now=now,
        )
        self._slots = asyncio.Semaphore(_UNDER_WAY)
        self._writes: set[asyncio.Task[None]] = set()
        self._newest: asyncio.Task[None] | None = None
        self._left_at = -math.inf
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pump = asyncio.create_task(self._run(), name="telemetry-pipeline")
        self._pump.add_done_callback(self._ended)
        self._sweeping = asyncio.create_task(self._storing.waiting.run(), name="waiting-responses")
        self._sweeping.add_done_callback(self._ended)
        metrics.watch_buffer("telemetry", lambda: self._buffer.semaphore.percent)
        metrics.watch_waiting(lambda: self._storing.waiting.held)

    @property
    def tasks(self) -> tuple[asyncio.Task[None], ...]:
        """Those that must not end before `close`."""
        return self._pump, self._sweeping

    @property
    def store_state(self) -> BreakerState:
        """The store's circuit breaker."""
        return self._breaker.state

    @property
    def store_is_away(self) -> bool:
        """Whether what is accepted now would wait for the store to come back."""
        return self._breaker.state is BreakerState.OPEN

    def delay_s(self, source: str = "") -> float:
        """How long what is stored next of a source has waited, in seconds; about what it gives now would wait."""
        oldest = self._buffer.oldest(source)
        return 0.0 if oldest is None else self._clock() - oldest.at

    async def reserve(self, size: int, source: str = "") -> None:
        """Waits until `size` bytes (`held_bytes`) may be accepted; they are given back by what is submitted with them,
        or `release`. A source awaits this before it decodes, and does not read on meanwhile.

        source: what shares a queue (streams, REST …). Sources are served in turn, so that a flood of one does not hold
        up the others; what a source gives keeps its order.
        """
        await self._buffer.semaphore.acquire(size, source)

    def release(self, size: int) -> None:
        """Gives back reserved bytes of which nothing is submitted."""
        self._buffer.semaphore.release(size)

    def submit(
        self, tenant: str, events: Sequence[Event], size: int, source: str = ""
    ) -> asyncio.Future[list[Outcome]]:
        """Accepts up to MAX_EVENTS events with the bytes reserved for them by the same source. The answer says for
        each, in order, that it is durable or why it never will be; or raises `StoreUnavailable` (they may be sent
        again) or `StoreCorrupt`."""
        answer: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(_heard)
        accepted = _Accepted(tenant, events, size, self._clock(), answer)
        if self._pump.done():
            self._refuse([accepted], (self.failed.done() and self.failed.exception()) or _ENDING)
        else:
            self._buffer.put(accepted, len(events), source)
        return answer

    def reject(self, rejected: Sequence[Rejected]) -> None:
        """Takes events that a source could not decode."""
        self._dead_letters(rejected)

    async def sweep(self, tenant: str) -> None:
        """Gives up the responses that have waited too long for their prompts, as is done every minute."""
        await self._storing.waiting.sweep(tenant)

    async def close(self) -> None:
        """Answers everything accepted, and ends. Nothing may be submitted any more."""
        self._sweeping.cancel()
        self._buffer.close()
        await asyncio.wait([self._pump])
        if self._writes:
            await asyncio.wait(self._writes)

    async def _run(self) -> None:
        taken: list[_Accepted] = []
        try:
            while True:
                await self._slots.acquire()  # before taking: what waits is in the buffer, and more of it shares a write
                taken = await self._buffer.take(MAX_EVENTS)
                if not taken:
                    return
                wait = self._bucket.take(sum(len(accepted.events) for accepted in taken))
                if wait:
                    await asyncio.sleep(wait)
                self._newest = task = asyncio.create_task(self._written(taken, self._newest))
                taken = []
                self._writes.add(task)
                task.add_done_callback(self._ended)
        except BaseException as error:
            self._fail(error)
            self._refuse([*taken, *self._buffer.clear()], error if isinstance(error, Exception) else _ENDING)
            raise

    async def _written(self, taken: Sequence[_Accepted], before: asyncio.Task[None] | None) -> None:
        try:
            for tenant, group in groupby(taken, lambda accepted: accepted.tenant):
                together = list(group)
                try:
                    outcomes = await self._stored(tenant, together, before)
                    self._answer(together, outcomes)
                except (StoreUnavailable, StoreCorrupt) as error:
                    self._refuse(together, error)
        except BaseException as error:
            self._refuse(taken, error if isinstance(error, Exception) else _ENDING)
            raise

    async def _stored(
        self, tenant: str, together: Sequence[_Accepted], before: asyncio.Task[None] | None
    ) -> list[Outcome]:
        events = [event for accepted in together for event in accepted.events]
        arrived = [accepted.at for accepted in together for _ in accepted.events]

        async def turn() -> None:
            if before is not None and not before.done():
                await asyncio.wait([before])
            if any(accepted.at <= self._left_at for accepted in together):
                raise StoreUnavailable("what came before is not stored; send what was not acknowledged again, in order")

        try:
            return await self._storing.store(tenant, events, arrived, turn=turn)
        except StoreUnavailable:
            self._left_at = self._clock()
            raise

    def _answer(self, together: Sequence[_Accepted], outcomes: Sequence[Outcome]) -> None:
        rejected = [outcome for outcome in outcomes if outcome is not None]
        if rejected:
            self._dead_letters(rejected)
        begin = 0
        for accepted in together:
            end = begin + len(accepted.events)
            if not accepted.answer.done():
                accepted.answer.set_result(list(outcomes[begin:end]))
            self._give_back(accepted)
            begin = end

    def _refuse(self, together: Sequence[_Accepted], error: BaseException) -> None:
        for accepted in together:
            if not accepted.answer.done():
                accepted.answer.set_exception(error)
            self._give_back(accepted)

    def _give_back(self, accepted: _Accepted) -> None:
        self._buffer.semaphore.release(accepted.size)
        accepted.size = 0

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task in self._writes:
            self._writes.discard(task)
            self._slots.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, Exception) and not self.failed.done():
            _log.error("pipeline failed", error_type=type(error).__name__, exc_info=error)
            self.failed.set_exception(error)

    def _switched(self, state: BreakerState) -> None:
        self._metrics.breaker("store", state)
        _log.info("circuit breaker", dependency="store", state=state.name.lower())


def _heard(answer: asyncio.Future[list[Outcome]]) -> None:
    """A sender that has gone away is not told; asyncio is not to complain of that."""
    if not answer.cancelled():
        answer.exception()
