"""Writes events of one tenant: read the nodes they refer to, plan, write, join what belongs together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from memory_graph.flow.retry import RetryPolicy
from memory_graph.flow.token_bucket import TokenBucket
from memory_graph.ingest.clock_and_ids import ClockAndIds
from memory_graph.ingest.conversations.events import PromptEvent, ResponseEvent
from memory_graph.ingest.conversations.mapping import is_waiting, waiting_id
from memory_graph.ingest.conversations.pending_responses import PendingLimits, PendingResponses, queue_full
from memory_graph.ingest.conversations.response_joiner import ResponseJoiner
from memory_graph.ingest.dead_letters import ExpiredHandler
from memory_graph.ingest.event_hooks import EventHooks
from memory_graph.ingest.planning import WritePlan, node_types, plan_write, required_ids, responses_without_prompt
from memory_graph.ingest.telemetry.events import Rejected
from memory_graph.ingest.topics import Event, encode_body
from memory_graph.ingest.write_planner import node_id
from memory_graph.model.errors import GraphError, StoreCorrupt, StoreUnavailable
from memory_graph.model.kinds import EventType, NodeType
from memory_graph.model.mutations import Applied, Write
from memory_graph.model.nodes import Node
from memory_graph.store.protocol import GraphStore
from memory_graph.telemetry.ingestion import IngestionMetrics

Outcome = Rejected | None
"""None: the event is durable."""
WaitForTurn = Callable[[], Awaitable[None]]
"""Waits until the write before is done. Raises `StoreUnavailable` if it failed: then this one must fail, too."""

_log = structlog.get_logger(__name__)


class EventWriter:
    """The writer of events. on_expired: takes responses that waited for their prompts in vain.

    pending: the responses that wait now. rate: the bucket of events that may be written, by the durations of writes.
    """

    def __init__(
        self,
        store: GraphStore,
        metrics: IngestionMetrics,
        retry: RetryPolicy,
        hooks: EventHooks,
        on_expired: ExpiredHandler,
        pending_limits: PendingLimits,
        ports: ClockAndIds,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._retry = retry
        self._hooks = hooks
        self._ports = ports
        self.rate = TokenBucket(ports.monotonic)
        self._joiner = ResponseJoiner(store, retry, self._join, on_expired, ports)
        self.pending = PendingResponses(store, retry, self._joiner, on_expired, pending_limits, ports)

    async def write(
        self,
        tenant: str,
        events: Sequence[Event],
        arrived_at: Sequence[float],
        *,
        wait_for_turn: WaitForTurn | None = None,
        joined: bool = False,
    ) -> list[Outcome]:
        """Store events in one write. A write that is refused is split in halves, in order, until the event at fault is
        alone.

        arrived_at: arrival of each event, by the clock. wait_for_turn: returns once these may be written. joined: the
        events were pending, and counted then. Raises `StoreUnavailable` (they may be stored, and may be sent again) and
        `StoreCorrupt`.
        """
        self.pending.track(tenant)
        try:
            stored_nodes = await self._nodes(tenant, list(required_ids(events)))
            early_outcomes = await self._early_outcomes(tenant, events, stored_nodes)
            rest = [index for index in range(len(events)) if index not in early_outcomes]
            batch = [events[index] for index in rest]
            plan = plan_write(batch, self._ports.new_id, stored_nodes, self._ports.now())
            if wait_for_turn is not None:
                await wait_for_turn()
            applied = await self._apply(tenant, plan, batch)
        except (StoreUnavailable, StoreCorrupt):
            raise  # no event is at fault
        except Exception as error:  # noqa: BLE001 - one event that the store chokes on must not end the others
            if len(events) == 1:
                return [_refused(events[0], error)]
            half = len(events) // 2
            first = await self.write(
                tenant, events[:half], arrived_at[:half], wait_for_turn=wait_for_turn, joined=joined
            )
            return [
                *first,
                *await self.write(tenant, events[half:], arrived_at[half:], wait_for_turn=wait_for_turn, joined=joined),
            ]
        try:
            await self._settle(tenant, batch, plan, applied)
        except (StoreUnavailable, StoreCorrupt):
            raise
        except Exception as error:  # noqa: BLE001 - what is stored is stored, and its senders are to hear of it
            _log.error("events stored but not settled", error_type=type(error).__name__, exc_info=error)
        outcomes = self._outcomes(batch, plan, applied)
        for index, outcome in sorted(early_outcomes.items()):
            outcomes.insert(index, outcome)
        if not joined:
            self._count(events, arrived_at, outcomes)
        return [outcome if isinstance(outcome, Rejected) else None for outcome in outcomes]

    async def _nodes(self, tenant: str, ids: Sequence[str]) -> dict[str, Node]:
        if not ids:
            return {}
        nodes = await self._retry.call(lambda: self._store.get_nodes(tenant, ids))
        return {node.id: node for node in nodes}

    async def _early_outcomes(
        self, tenant: str, events: Sequence[Event], stored_nodes: Mapping[str, Node]
    ) -> dict[int, Rejected | str]:
        """Return, by index, the outcomes of responses without a prompt that are stored already, or may not wait."""
        orphans = responses_without_prompt(events, stored_nodes)
        if not orphans:
            return {}
        ids = {index: (node_id(events[index].event_id), waiting_id(events[index].event_id)) for index in orphans}
        stored = await self._nodes(tenant, [id for pair in ids.values() for id in pair])
        capacity = await self.pending.capacity(tenant)
        outcomes: dict[int, Rejected | str] = {}
        for index, (response, waiting) in ids.items():
            if response in stored and stored[response].type is NodeType.RESPONSE:
                outcomes[index] = "duplicate"
            elif waiting not in stored and capacity == 0:
                rejected = queue_full(events[index].event_id, events[index].event_type)
                rejected.body = encode_body(events[index])
                outcomes[index] = rejected
            elif waiting not in stored:
                capacity -= 1
        return outcomes

    async def _apply(self, tenant: str, plan: WritePlan, events: Sequence[Event]) -> Applied:
        if not events:
            return Applied(results=(), created=0, events=())
        write = Write(tenant=tenant, mutations=await self._hooks.before(tenant, plan.creations))

        async def attempt() -> Applied:
            began = self._ports.monotonic()
            applied = await self._store.apply(write)
            took = self._ports.monotonic() - began
            self.rate.observe(took)
            self._metrics.wrote("batch" if len(events) > 1 else "single", took)
            return applied

        applied = await self._retry.call(attempt)
        self._hooks.after(tenant, applied)
        return applied

    async def _settle(self, tenant: str, events: Sequence[Event], plan: WritePlan, applied: Applied) -> None:
        """Update sessions that the write could not, and join pending responses with their prompts."""
        nodes = applied.results
        for update in plan.session_updates:
            await self._joiner.update_session(tenant, _node(nodes[update.index]), update)
        if not any(isinstance(event, PromptEvent | ResponseEvent) for event in events):
            return
        new = {change.subject_id for change in applied.events if change.type is EventType.NODE_CREATED}
        materialized = {change.subject_id for change in applied.events if change.type is EventType.NODE_UPDATED}
        self.pending.adjust_count(tenant, sum(plan.creations[index].node.id in new for index in plan.waiting))
        prompts = [_node(nodes[index]) for index in plan.waiting.values()]
        for event, index in zip(events, plan.indexes, strict=True):
            if not isinstance(event, PromptEvent):
                continue
            node = _node(nodes[index])
            # A prompt may have been stored by a process that ended before it joined the pending responses.
            if node.id in materialized or (node.id not in new and await self.pending.any(tenant)):
                prompts.append(node)
        for id in dict.fromkeys(node.id for node in prompts if node.type is NodeType.PROMPT):
            self.pending.adjust_count(tenant, -await self._joiner.join_to_prompt(tenant, id))

    async def _join(self, tenant: str, events: Sequence[ResponseEvent]) -> Sequence[Outcome]:
        return await self.write(tenant, events, [self._ports.monotonic()] * len(events), joined=True)

    @staticmethod
    def _outcomes(events: Sequence[Event], plan: WritePlan, applied: Applied) -> list[Rejected | str]:
        """Return for each event its rejection, or the status by which it is counted."""
        recorded_at = applied.events[0].at if applied.events else 0
        outcomes: list[Rejected | str] = []
        counted: set[int] = set()
        for event, index in zip(events, plan.indexes, strict=True):
            node = _node(applied.results[index])
            if node.type not in node_types(event):
                sentence = f"event_id is the id of a {node.type.name} node; give the event an id of its own"
                outcomes.append(
                    Rejected(event.event_id, event.event_type, "refused", sentence, body=encode_body(event))
                )
                continue
            new = node.recorded_at == recorded_at and id(node) not in counted
            counted.add(id(node))
            outcomes.append(("waiting" if is_waiting(node) else "stored") if new else "duplicate")
        return outcomes

    def _count(self, events: Sequence[Event], arrived_at: Sequence[float], outcomes: Sequence[Rejected | str]) -> None:
        now = self._ports.monotonic()
        for event, at, outcome in zip(events, arrived_at, outcomes, strict=True):
            if isinstance(outcome, str):
                self._metrics.processed(event.event_type, outcome, now - at)


def _node(result: object) -> Node:
    assert isinstance(result, Node)
    return result


def _refused(event: Event, error: Exception) -> Rejected:
    if isinstance(error, GraphError):
        return Rejected(event.event_id, event.event_type, "refused", str(error), body=encode_body(event))
    _log.error("event failed", event_id=event.event_id, error_type=type(error).__name__, exc_info=error)
    sentence = "the event could not be stored inside the service; its log says why"
    return Rejected(event.event_id, event.event_type, "failed", sentence, body=encode_body(event))
