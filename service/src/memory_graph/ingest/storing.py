"""Events of one tenant into the store: read what must be known, plan, write, settle what the write brought together."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from memory_graph.flow.retry import RetryPolicy
from memory_graph.flow.token_bucket import TokenBucket
from memory_graph.ingest.bodies import body_of
from memory_graph.ingest.conversations.events import PromptEvent, ResponseEvent
from memory_graph.ingest.conversations.joining import Joining
from memory_graph.ingest.conversations.mapping import is_waiting, waiting_id
from memory_graph.ingest.conversations.waiting import WaitingLimits, WaitingRoom, full
from memory_graph.ingest.event import Event
from memory_graph.ingest.hooks import Hooks
from memory_graph.ingest.plan import Plan, becomes, needs, plan, without_prompt
from memory_graph.ingest.planner import node_id
from memory_graph.ingest.telemetry.dead_letters import GivenUp
from memory_graph.ingest.telemetry.events import Rejected
from memory_graph.model.errors import GraphError, StoreCorrupt, StoreUnavailable
from memory_graph.model.kinds import EventType, NodeType
from memory_graph.model.mutations import Applied, Write
from memory_graph.model.nodes import Node
from memory_graph.store.protocol import GraphStore
from memory_graph.telemetry.ingestion import IngestionMetrics

Outcome = Rejected | None
"""None: the event is durable."""
Turn = Callable[[], Awaitable[None]]
"""Waits until what came before is written. Raises `StoreUnavailable` where that will not be: then nor may this."""

_log = structlog.get_logger(__name__)


class Storing:
    """clock: monotonic, in seconds; now: the time, in nanoseconds. given_up: where responses go that have waited in
    vain. waiting: those that wait."""

    def __init__(
        self,
        store: GraphStore,
        metrics: IngestionMetrics,
        retry: RetryPolicy,
        bucket: TokenBucket,
        given_up: GivenUp,
        limits: WaitingLimits,
        hooks: Hooks,
        *,
        clock: Callable[[], float],
        new_id: Callable[[], str],
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._retry = retry
        self._bucket = bucket
        self._hooks = hooks
        self._clock = clock
        self._new_id = new_id
        self._now = now
        self._joining = Joining(store, retry, self._join, given_up, new_id=new_id, now=now)
        self.waiting = WaitingRoom(store, retry, self._joining, given_up, limits, now=now)

    async def store(
        self,
        tenant: str,
        events: Sequence[Event],
        arrived: Sequence[float],
        *,
        turn: Turn | None = None,
        joined: bool = False,
    ) -> list[Outcome]:
        """Stores events in one write; where that is refused, its halves apart and in order, until what is at fault is
        alone.

        arrived: when each did, by the clock. turn: returns once these may be written. joined: they have waited, and
        were counted then. Raises `StoreUnavailable`: they may be stored, and may be sent again; and `StoreCorrupt`.
        """
        self.waiting.serves(tenant)
        try:
            known = await self._nodes(tenant, list(needs(events)))
            answered = await self._answered(tenant, events, known)
            rest = [place for place in range(len(events)) if place not in answered]
            batch = [events[place] for place in rest]
            planned = plan(batch, self._new_id, known, self._now())
            if turn is not None:
                await turn()
            applied = await self._apply(tenant, planned, batch)
        except (StoreUnavailable, StoreCorrupt):
            raise  # no event is at fault
        except Exception as error:  # noqa: BLE001 - one event that the store chokes on must not end the others
            if len(events) == 1:
                return [_refused(events[0], error)]
            half = len(events) // 2
            first = await self.store(tenant, events[:half], arrived[:half], turn=turn, joined=joined)
            return [*first, *await self.store(tenant, events[half:], arrived[half:], turn=turn, joined=joined)]
        try:
            await self._settle(tenant, batch, planned, applied)
        except (StoreUnavailable, StoreCorrupt):
            raise
        except Exception as error:  # noqa: BLE001 - what is stored is stored, and its senders are to hear of it
            _log.error("events stored but not settled", error_type=type(error).__name__, exc_info=error)
        outcomes = self._outcomes(batch, planned, applied)
        for place, outcome in sorted(answered.items()):
            outcomes.insert(place, outcome)
        if not joined:
            self._count(events, arrived, outcomes)
        return [outcome if isinstance(outcome, Rejected) else None for outcome in outcomes]

    async def _nodes(self, tenant: str, ids: Sequence[str]) -> dict[str, Node]:
        if not ids:
            return {}
        found = await self._retry.call(lambda: self._store.get_nodes(tenant, ids))
        return {node.id: node for node in found}

    async def _answered(
        self, tenant: str, events: Sequence[Event], known: Mapping[str, Node]
    ) -> dict[int, Rejected | str]:
        """What is to be said, by place, of responses without a prompt that are stored already, or may not wait."""
        orphans = without_prompt(events, known)
        if not orphans:
            return {}
        ids = {place: (node_id(events[place].event_id), waiting_id(events[place].event_id)) for place in orphans}
        there = await self._nodes(tenant, [id for pair in ids.values() for id in pair])
        room = await self.waiting.room(tenant)
        answered: dict[int, Rejected | str] = {}
        for place, (response, waiting) in ids.items():
            if response in there and there[response].type is NodeType.RESPONSE:
                answered[place] = "duplicate"
            elif waiting not in there and room == 0:
                rejected = full(events[place].event_id, events[place].event_type)
                rejected.body = body_of(events[place])
                answered[place] = rejected
            elif waiting not in there:
                room -= 1
        return answered

    async def _apply(self, tenant: str, planned: Plan, events: Sequence[Event]) -> Applied:
        if not events:
            return Applied(results=(), created=0, events=())
        write = Write(tenant=tenant, mutations=await self._hooks.before(tenant, planned.creations))

        async def attempt() -> Applied:
            began = self._clock()
            applied = await self._store.apply(write)
            took = self._clock() - began
            self._bucket.observe(took)
            self._metrics.wrote("batch" if len(events) > 1 else "single", took)
            return applied

        applied = await self._retry.call(attempt)
        self._hooks.after(tenant, applied)
        return applied

    async def _settle(self, tenant: str, events: Sequence[Event], planned: Plan, applied: Applied) -> None:
        """Adds to sessions what the write could not, and joins responses that waited with their prompts."""
        nodes = applied.results
        for told in planned.sessions:
            await self._joining.tell(tenant, _node(nodes[told.place]), told)
        if not any(isinstance(event, PromptEvent | ResponseEvent) for event in events):
            return
        new = {change.subject_id for change in applied.events if change.type is EventType.NODE_CREATED}
        filled = {change.subject_id for change in applied.events if change.type is EventType.NODE_UPDATED}
        self.waiting.changed(tenant, sum(planned.creations[place].node.id in new for place in planned.waiting))
        prompts = [_node(nodes[place]) for place in planned.waiting.values()]
        for event, place in zip(events, planned.places, strict=True):
            if not isinstance(event, PromptEvent):
                continue
            node = _node(nodes[place])
            # One that was there may have been stored by a process that ended before it joined what waited.
            if node.id in filled or (node.id not in new and await self.waiting.any(tenant)):
                prompts.append(node)
        for id in dict.fromkeys(node.id for node in prompts if node.type is NodeType.PROMPT):
            self.waiting.changed(tenant, -await self._joining.join_to(tenant, id))

    async def _join(self, tenant: str, events: Sequence[ResponseEvent]) -> Sequence[Outcome]:
        return await self.store(tenant, events, [self._clock()] * len(events), joined=True)

    @staticmethod
    def _outcomes(events: Sequence[Event], planned: Plan, applied: Applied) -> list[Rejected | str]:
        """What came of each: why it never will be stored, or the status by which it is counted."""
        recorded_at = applied.events[0].at if applied.events else 0
        outcomes: list[Rejected | str] = []
        told: set[int] = set()
        for event, place in zip(events, planned.places, strict=True):
            node = _node(applied.results[place])
            if node.type not in becomes(event):
                sentence = f"event_id is the id of a {node.type.name} node; give the event an id of its own"
                outcomes.append(Rejected(event.event_id, event.event_type, "refused", sentence, body=body_of(event)))
                continue
            new = node.recorded_at == recorded_at and id(node) not in told
            told.add(id(node))
            outcomes.append(("waiting" if is_waiting(node) else "stored") if new else "duplicate")
        return outcomes

    def _count(self, events: Sequence[Event], arrived: Sequence[float], outcomes: Sequence[Rejected | str]) -> None:
        now = self._clock()
        for event, at, outcome in zip(events, arrived, outcomes, strict=True):
            if isinstance(outcome, str):
                self._metrics.processed(event.event_type, outcome, now - at)


def _node(result: object) -> Node:
    assert isinstance(result, Node)
    return result


def _refused(event: Event, error: Exception) -> Rejected:
    if isinstance(error, GraphError):
        return Rejected(event.event_id, event.event_type, "refused", str(error), body=body_of(event))
    _log.error("event failed", event_id=event.event_id, error_type=type(error).__name__, exc_info=error)
    sentence = "the event could not be stored inside the service; its log says why"
    return Rejected(event.event_id, event.event_type, "failed", sentence, body=body_of(event))
