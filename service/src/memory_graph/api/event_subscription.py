"""The server side of TelemetryStream.SubscribeEvents: filters the change feed into a bounded buffer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Self

import structlog

from memory_graph.api.telemetry_requests import EventPredicate
from memory_graph.gen.llm.observatory.v1 import telemetry_stream_pb2 as pb
from memory_graph.ingest.telemetry.events import ARMS, TelemetryEvent
from memory_graph.ingest.telemetry.mapping import NODE_TYPES, event_of
from memory_graph.model.kinds import EventType
from memory_graph.model.mutations import Event
from memory_graph.model.nodes import Node, is_stub
from memory_graph.store.protocol import GraphStore, Overrun

STALL_TIMEOUT_S = 5.0
"""Longest time for which a subscriber with a full buffer may read nothing."""
_log = structlog.get_logger(__name__)
_KINDS = frozenset(type.name for type in NODE_TYPES)
_CHANGES = (EventType.NODE_CREATED, EventType.NODE_UPDATED)


class EventSubscription:
    """One subscriber of telemetry events, which follows the change feed in a task of its own.

    buffer_size: events that are held for the subscriber. It is cut off if it reads none of them for STALL_TIMEOUT_S, or
    lags behind by more than the feed's own buffer. An async context manager.
    """

    def __init__(self, store: GraphStore, tenant: str, matches: EventPredicate, buffer_size: int) -> None:
        self._store = store
        self._tenant = tenant
        self._matches = matches
        self._buffer_size = buffer_size
        self._buffer: deque[tuple[str, pb.Event]] = deque()
        self._event_available = asyncio.Event()
        self._space_available = asyncio.Event()
        self._following: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._following is not None:
            self._following.cancel()

    @staticmethod
    def may_be_telemetry(change: Event) -> bool:
        """Return whether a change can be that of a telemetry event."""
        return change.type in _CHANGES and change.kind in _KINDS

    def follow(self, commits: AsyncIterator[list[Event]]) -> None:
        """Start to follow the change feed."""
        self._following = asyncio.create_task(self._follow(commits), name="telemetry-subscription")
        self._following.add_done_callback(lambda _: self._event_available.set())

    async def events(self) -> AsyncIterator[pb.Event]:
        """Yield events in commit order.

        Raises:
            Overrun: after the events that were held, with the change to resume after.
            ShuttingDown, FeedGap, StoreUnavailable: as the feed does.
        """
        assert self._following is not None
        while True:
            while self._buffer:
                _, event = self._buffer.popleft()
                self._space_available.set()
                yield event
            if self._following.done():
                self._following.result()
            self._event_available.clear()
            await self._event_available.wait()

    async def _follow(self, commits: AsyncIterator[list[Event]]) -> None:
        async for changes in commits:
            nodes = await self._store.get_nodes(self._tenant, [change.subject_id for change in changes])
            for change, event in _telemetry_events(changes, nodes):
                if not self._matches(event):
                    continue
                if len(self._buffer) >= self._buffer_size:
                    await self._wait_for_space()
                self._buffer.append((change.id, _to_wire(event)))
                self._event_available.set()

    async def _wait_for_space(self) -> None:
        last = self._buffer[-1][0]
        self._space_available.clear()
        try:
            async with asyncio.timeout(STALL_TIMEOUT_S):
                await self._space_available.wait()
        except TimeoutError:
            _log.info("subscriber cut off", held=len(self._buffer), last_event_id=last)
            raise Overrun(last) from None


def _telemetry_events(changes: Sequence[Event], nodes: Sequence[Node]) -> list[tuple[Event, TelemetryEvent]]:
    """Return the telemetry events among changes, each once, when its node was created.

    A stub is no event yet, and an update by a client is no event either."""
    by_id = {node.id: node for node in nodes}
    telemetry_events = []
    for change in changes:
        node = by_id.get(change.subject_id)
        if node is None or is_stub(node):
            continue
        first = node.recorded_at == change.at
        updated = node.updated_at != node.created_at
        if not (first and not updated) and not (change.type is EventType.NODE_CREATED and updated):
            continue
        event = event_of(node)
        if event is not None:
            telemetry_events.append((change, event))
    return telemetry_events


def _to_wire(event: TelemetryEvent) -> pb.Event:
    payload = event.payload
    arm = ARMS[type(payload)]
    sent = pb.Event(
        event_id=event.event_id,
        event_type=event.event_type,
        timestamp_ms=event.timestamp_ms,
        metadata=event.metadata,
        trace_id=event.trace_id,
        span_id=event.span_id,
    )
    part = getattr(sent.payload, arm)
    part.SetInParent()
    for name in payload.__struct_fields__:
        setattr(part, name, getattr(payload, name))
    return sent
