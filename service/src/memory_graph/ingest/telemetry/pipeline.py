"""The one way of telemetry into the store: buffered, paced, coalesced, broken off while the store is away.

Sources reserve bytes, decode, and submit; they are told of each event once it is durable, or can never be. What is
accepted is never dropped: while the store is away it is held, the bound in bytes keeps sources from accepting more.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from itertools import groupby

import msgspec
import structlog

from memory_graph.flow.breaker import CircuitBreaker, Limits, State
from memory_graph.flow.bucket import TokenBucket
from memory_graph.flow.buffer import ByteBuffer
from memory_graph.ingest.event import Event
from memory_graph.ingest.telemetry.dead_letters import DeadLetters
from memory_graph.ingest.telemetry.events import Rejected
from memory_graph.ingest.telemetry.mapping import NODE_TYPES, Plan, plan
from memory_graph.model import ids
from memory_graph.model.errors import GraphError, StoreCorrupt, StoreUnavailable
from memory_graph.model.mutations import Applied, Write
from memory_graph.model.nodes import Node
from memory_graph.store.protocol import GraphStore
from memory_graph.telemetry.ingestion import IngestionMetrics

MAX_EVENTS = 500
"""Most events of one write."""
STORE_LIMITS = Limits(failure_rate=0.5, recovery_s=5.0, trials=3)
"""The store's breaker."""
_UNDER_WAY = 2
"""Writes at once: one is committed while the next is made."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _JITTER = 0.1, 5.0, 0.1

Outcome = Rejected | None
"""None: the event is durable."""

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
    for a store that is away.
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
        limits: Limits = STORE_LIMITS,
        clock: Callable[[], float] = time.monotonic,
        new_id: Callable[[], str] = ids.new_id,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._dead_letters = dead_letters
        self._patience_s = patience_s
        self._draining = draining
        self._clock = clock
        self._new_id = new_id
        self._buffer: ByteBuffer[_Accepted] = ByteBuffer(max_bytes)
        self._bucket = TokenBucket(clock)
        self._breaker = CircuitBreaker(limits, clock, self._switched)
        self._away_since: float | None = None
        self._slots = asyncio.Semaphore(_UNDER_WAY)
        self._writes: set[asyncio.Task[None]] = set()
        self._pump = asyncio.create_task(self._run(), name="telemetry-pipeline")
        metrics.watch_buffer("telemetry", lambda: self._buffer.budget.percent)

    async def reserve(self, size: int) -> None:
        """Waits until `size` bytes (`held_bytes`) may be accepted; they are given back by what is submitted with them,
        or `release`. A source awaits this before it decodes, and does not read on meanwhile."""
        await self._buffer.budget.reserve(size)

    def release(self, size: int) -> None:
        """Gives back reserved bytes of which nothing is submitted."""
        self._buffer.budget.release(size)

    def submit(self, tenant: str, events: Sequence[Event], size: int) -> asyncio.Future[list[Outcome]]:
        """Accepts up to MAX_EVENTS events with the bytes reserved for them. The answer says for each, in order, that it
        is durable or why it never will be; or raises `StoreUnavailable` (they may be sent again) or `StoreCorrupt`."""
        answer: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self._buffer.put(_Accepted(tenant, events, size, self._clock(), answer), len(events))
        return answer

    def reject(self, rejected: Sequence[Rejected]) -> None:
        """Takes events that a source could not decode."""
        self._dead_letters(rejected)

    async def close(self) -> None:
        """Answers everything accepted, and ends. Nothing may be submitted any more."""
        self._buffer.close()
        await self._pump
        if self._writes:
            await asyncio.wait(self._writes)

    async def _run(self) -> None:
        while taken := await self._buffer.take(MAX_EVENTS):
            wait = self._bucket.take(sum(len(accepted.events) for accepted in taken))
            if wait:
                await asyncio.sleep(wait)
            await self._slots.acquire()
            task = asyncio.create_task(self._answered(taken))
            self._writes.add(task)
            task.add_done_callback(self._written)

    def _written(self, task: asyncio.Task[None]) -> None:
        self._writes.discard(task)
        self._slots.release()

    async def _answered(self, taken: Sequence[_Accepted]) -> None:
        for tenant, group in groupby(taken, lambda accepted: accepted.tenant):
            together = list(group)
            events = [event for accepted in together for event in accepted.events]
            arrived = [accepted.at for accepted in together for _ in accepted.events]
            try:
                outcomes = await self._stored(tenant, events, arrived)
            except (StoreUnavailable, StoreCorrupt) as error:
                for accepted in together:
                    if not accepted.answer.done():
                        accepted.answer.set_exception(error)
            else:
                self._answer(together, outcomes)
            self._buffer.budget.release(sum(accepted.size for accepted in together))

    def _answer(self, together: Sequence[_Accepted], outcomes: Sequence[Outcome]) -> None:
        rejected = [outcome for outcome in outcomes if outcome is not None]
        if rejected:
            self._dead_letters(rejected)
        begin = 0
        for accepted in together:
            end = begin + len(accepted.events)
            if not accepted.answer.done():
                accepted.answer.set_result(list(outcomes[begin:end]))
            begin = end

    async def _stored(self, tenant: str, events: Sequence[Event], arrived: Sequence[float]) -> Sequence[Outcome]:
        """Stores events in one write; where that is refused, its halves apart, until what is at fault is alone."""
        try:
            planned = plan(events, self._new_id)
            applied = await self._apply(
                Write(tenant=tenant, mutations=planned.creations), "batch" if len(events) > 1 else "single"
            )
        except (StoreUnavailable, StoreCorrupt):
            raise  # no event is at fault
        except Exception as error:  # noqa: BLE001 - one event that the store chokes on must not end the others
            if len(events) == 1:
                return [_refused(events[0], error)]
            half = len(events) // 2
            first = await self._stored(tenant, events[:half], arrived[:half])
            return [*first, *await self._stored(tenant, events[half:], arrived[half:])]
        return self._outcomes(events, arrived, planned, applied)

    async def _apply(self, write: Write, operation: str) -> Applied:
        pause = _FIRST_PAUSE_S
        while True:
            await self._admitted()
            began = self._clock()
            try:
                applied = await self._store.apply(write)
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
                took = self._clock() - began
                self._bucket.learn(took)
                self._metrics.wrote(operation, took)
                return applied

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

    def _outcomes(
        self, events: Sequence[Event], arrived: Sequence[float], planned: Plan, applied: Applied
    ) -> list[Outcome]:
        now = self._clock()
        recorded_at = applied.events[0].at if applied.events else 0
        outcomes: list[Outcome] = []
        told: set[int] = set()
        for event, at, place in zip(events, arrived, planned.places, strict=True):
            node = applied.results[place]
            assert isinstance(node, Node)
            if node.type not in NODE_TYPES:
                sentence = f"event_id is the id of a {node.type.name} node; give the event an id of its own"
                outcomes.append(Rejected(event.event_id, event.event_type, "refused", sentence))
                continue
            new = node.recorded_at == recorded_at and id(node) not in told
            told.add(id(node))
            self._metrics.processed(event.event_type, "stored" if new else "duplicate", now - at)
            outcomes.append(None)
        return outcomes

    def _switched(self, state: State) -> None:
        self._metrics.breaker("store", state)
        _log.info("circuit breaker", dependency="store", state=state.name.lower())


def _refused(event: Event, error: Exception) -> Rejected:
    if isinstance(error, GraphError):
        return Rejected(event.event_id, event.event_type, "refused", str(error))
    _log.error("event failed", event_id=event.event_id, error_type=type(error).__name__, exc_info=error)
    sentence = "the event could not be stored inside the service; its log says why"
    return Rejected(event.event_id, event.event_type, "failed", sentence)
