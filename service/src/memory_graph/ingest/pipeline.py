"""The pipeline of events into the store: buffered, rate-limited, batched, and paused while the store is unavailable.

Sources reserve bytes, decode, and submit; they get an answer for each event once it is durable or rejected for good.
Accepted events are never dropped: while the store is unavailable they stay in memory, and a bound in bytes keeps
sources from accepting more.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from itertools import groupby

import msgspec
import structlog

from memory_graph.flow.byte_buffer import ByteBuffer
from memory_graph.flow.circuit_breaker import BreakerLimits, BreakerState, CircuitBreaker
from memory_graph.flow.retry import RetryPolicy
from memory_graph.ingest.clock_and_ids import SYSTEM, ClockAndIds
from memory_graph.ingest.conversations.pending_responses import PendingLimits
from memory_graph.ingest.dead_letters import DeadLetterHandlers, expired_as_rejected
from memory_graph.ingest.event_hooks import EventHooks
from memory_graph.ingest.event_writer import EventWriter, Outcome
from memory_graph.ingest.telemetry.events import Rejected
from memory_graph.ingest.topics import Event
from memory_graph.model.errors import StoreCorrupt, StoreUnavailable
from memory_graph.plugins import PluginHost
from memory_graph.store.protocol import GraphStore
from memory_graph.telemetry.ingestion import IngestionMetrics

__all__ = ["MAX_EVENTS", "Outcome", "Pipeline", "PipelineSettings", "held_bytes"]

MAX_EVENTS = 500
"""Most events of one write."""
_MAX_CONCURRENT_WRITES = 2
"""Writes in progress: one is committed while the next is prepared. They commit in order of arrival."""
_ENDING = StoreUnavailable("the service is ending; send what was not acknowledged again")
_log = structlog.get_logger(__name__)


class PipelineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of a pipeline.

    max_bytes: most memory of accepted events that are not durable yet. max_wait_s: longest outage of the store before
    waiting events are refused with `StoreUnavailable`. pending: of responses that wait for their prompts. breaker: of
    the store's circuit breaker.
    """

    max_bytes: int
    max_wait_s: float
    pending: PendingLimits = PendingLimits()
    breaker: BreakerLimits = BreakerLimits(failure_rate=0.5, recovery_s=5.0, trials=3)


def held_bytes(sent: int) -> int:
    """Estimate the memory of a body until it is durable: the usual events of 50 to 200 bytes take five to fourteen
    times as much once they are decoded."""
    return 8 * sent + 1024


class _Accepted(msgspec.Struct):
    tenant: str
    events: Sequence[Event]
    size: int
    at: float
    answer: asyncio.Future[list[Outcome]]


class Pipeline:
    """The pipeline of all sources of one process. It belongs to one event loop.

    draining: set when the process ends; then nothing waits for an unavailable store. plugins: see prompts, responses
    and tool calls.

    failed: raises the bug that ended a write or the pipeline; then the process must end. The events of that write are
    answered with the same error, as are events that come later, and their bytes are released.
    """

    def __init__(
        self,
        store: GraphStore,
        metrics: IngestionMetrics,
        settings: PipelineSettings,
        dead_letters: DeadLetterHandlers,
        *,
        draining: asyncio.Event,
        plugins: PluginHost | None = None,
        ports: ClockAndIds = SYSTEM,
    ) -> None:
        self._metrics = metrics
        self._on_rejected = dead_letters.on_rejected
        self._clock = ports.monotonic
        self._buffer: ByteBuffer[_Accepted] = ByteBuffer(settings.max_bytes)
        self._breaker = CircuitBreaker(settings.breaker, self._clock, self._on_breaker_change)
        retry = RetryPolicy(self._breaker, max_wait_s=settings.max_wait_s, draining=draining, clock=self._clock)
        on_expired = dead_letters.on_expired or expired_as_rejected(self._on_rejected)
        hooks = EventHooks(plugins, ports.new_id)
        self._writer = EventWriter(store, metrics, retry, hooks, on_expired, settings.pending, ports)
        self._slots = asyncio.Semaphore(_MAX_CONCURRENT_WRITES)
        self._writes: set[asyncio.Task[None]] = set()
        self._newest: asyncio.Task[None] | None = None
        self._failed_at = -math.inf
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pump = asyncio.create_task(self._run(), name="telemetry-pipeline")
        self._pump.add_done_callback(self._on_task_done)
        self._sweeping = asyncio.create_task(self._writer.pending.run(), name="waiting-responses")
        self._sweeping.add_done_callback(self._on_task_done)
        metrics.watch_buffer("telemetry", lambda: self._buffer.semaphore.percent)
        metrics.watch_waiting(lambda: self._writer.pending.count)

    @property
    def tasks(self) -> tuple[asyncio.Task[None], ...]:
        """The tasks that must not end before `close`."""
        return self._pump, self._sweeping

    @property
    def store_state(self) -> BreakerState:
        """The store's circuit breaker."""
        return self._breaker.state

    @property
    def store_is_unavailable(self) -> bool:
        """Whether events would wait for the store to come back."""
        return self._breaker.state is BreakerState.OPEN

    def delay_s(self, source: str = "") -> float:
        """Return how long the next event of a source has waited, in seconds: about the wait of a new one."""
        oldest = self._buffer.oldest(source)
        return 0.0 if oldest is None else self._clock() - oldest.at

    async def reserve(self, size: int, source: str = "") -> None:
        """Wait until `size` bytes (`held_bytes`) may be accepted. `submit` or `release` returns them. A source awaits
        this before it decodes, and reads nothing meanwhile.

        source: the key of a queue (streams, REST …). Sources are served fairly, so a flood of one does not hold up the
        others; the events of a source keep their order.
        """
        await self._buffer.semaphore.acquire(size, source)

    def release(self, size: int) -> None:
        """Release reserved bytes that nothing was submitted with."""
        self._buffer.semaphore.release(size)

    def submit(
        self, tenant: str, events: Sequence[Event], size: int, source: str = ""
    ) -> asyncio.Future[list[Outcome]]:
        """Accept up to MAX_EVENTS events with the bytes that the same source reserved for them.

        The answer has for each, in order, None once it is durable, or its rejection; or it raises `StoreUnavailable`
        (all may be sent again) or `StoreCorrupt`."""
        answer: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(_ignore_unretrieved)
        accepted = _Accepted(tenant, events, size, self._clock(), answer)
        if self._pump.done():
            self._refuse([accepted], (self.failed.done() and self.failed.exception()) or _ENDING)
        else:
            self._buffer.put(accepted, len(events), source)
        return answer

    def reject(self, rejected: Sequence[Rejected]) -> None:
        """Pass on events that a source could not decode."""
        self._on_rejected(rejected)

    async def sweep(self, tenant: str) -> None:
        """Expire responses that have waited too long for their prompts, as the pipeline does every minute."""
        await self._writer.pending.sweep(tenant)

    async def close(self) -> None:
        """Answer all accepted events, and end. Nothing may be submitted any more."""
        self._sweeping.cancel()
        self._buffer.close()
        await asyncio.wait([self._pump])
        if self._writes:
            await asyncio.wait(self._writes)

    async def _run(self) -> None:
        batch: list[_Accepted] = []
        try:
            while True:
                await self._slots.acquire()  # before taking: events in the buffer can share a write
                batch = await self._buffer.take(MAX_EVENTS)
                if not batch:
                    return
                wait = self._writer.rate.take(sum(len(accepted.events) for accepted in batch))
                if wait:
                    await asyncio.sleep(wait)
                self._newest = task = asyncio.create_task(self._write(batch, self._newest))
                batch = []
                self._writes.add(task)
                task.add_done_callback(self._on_task_done)
        except BaseException as error:
            self._fail(error)
            self._refuse([*batch, *self._buffer.clear()], error if isinstance(error, Exception) else _ENDING)
            raise

    async def _write(self, batch: Sequence[_Accepted], before: asyncio.Task[None] | None) -> None:
        try:
            for tenant, same_tenant in groupby(batch, lambda accepted: accepted.tenant):
                group = list(same_tenant)
                try:
                    outcomes = await self._write_group(tenant, group, before)
                    self._answer(group, outcomes)
                except (StoreUnavailable, StoreCorrupt) as error:
                    self._refuse(group, error)
        except BaseException as error:
            self._refuse(batch, error if isinstance(error, Exception) else _ENDING)
            raise

    async def _write_group(
        self, tenant: str, group: Sequence[_Accepted], before: asyncio.Task[None] | None
    ) -> list[Outcome]:
        events = [event for accepted in group for event in accepted.events]
        arrived_at = [accepted.at for accepted in group for _ in accepted.events]

        async def wait_for_turn() -> None:
            if before is not None and not before.done():
                await asyncio.wait([before])
            if any(accepted.at <= self._failed_at for accepted in group):
                raise StoreUnavailable("what came before is not stored; send what was not acknowledged again, in order")

        try:
            return await self._writer.write(tenant, events, arrived_at, wait_for_turn=wait_for_turn)
        except StoreUnavailable:
            self._failed_at = self._clock()
            raise

    def _answer(self, group: Sequence[_Accepted], outcomes: Sequence[Outcome]) -> None:
        rejected = [outcome for outcome in outcomes if outcome is not None]
        if rejected:
            self._on_rejected(rejected)
        begin = 0
        for accepted in group:
            end = begin + len(accepted.events)
            if not accepted.answer.done():
                accepted.answer.set_result(list(outcomes[begin:end]))
            self._release(accepted)
            begin = end

    def _refuse(self, group: Sequence[_Accepted], error: BaseException) -> None:
        for accepted in group:
            if not accepted.answer.done():
                accepted.answer.set_exception(error)
            self._release(accepted)

    def _release(self, accepted: _Accepted) -> None:
        self._buffer.semaphore.release(accepted.size)
        accepted.size = 0

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        if task in self._writes:
            self._writes.discard(task)
            self._slots.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, Exception) and not self.failed.done():
            _log.error("pipeline failed", error_type=type(error).__name__, exc_info=error)
            self.failed.set_exception(error)

    def _on_breaker_change(self, state: BreakerState) -> None:
        self._metrics.breaker("store", state)
        _log.info("circuit breaker", dependency="store", state=state.name.lower())


def _ignore_unretrieved(answer: asyncio.Future[list[Outcome]]) -> None:
    """Read an exception that no sender awaits any more, so that asyncio does not log it."""
    if not answer.cancelled():
        answer.exception()
