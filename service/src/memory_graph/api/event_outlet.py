"""One subscriber's events on their way out: found in the change feed, filtered, in a bounded buffer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Self

import structlog

from memory_graph.gen.llm.observatory.v1 import telemetry_stream_pb2 as pb
from memory_graph.ingest.telemetry.events import ARMS, PAYLOADS, TelemetryEvent
from memory_graph.ingest.telemetry.mapping import NODE_TYPES, event_of
from memory_graph.model.errors import Invalid, Violation
from memory_graph.model.kinds import EventType
from memory_graph.model.mutations import Event
from memory_graph.model.nodes import Node, is_stub
from memory_graph.store.protocol import GraphStore, Overrun

DEFAULT_BUFFER, MAX_BUFFER = 1_000, 10_000
"""Events a subscriber may lag."""
STALL_S = 5.0
"""How long a subscriber whose buffer is full may take nothing."""
_log = structlog.get_logger(__name__)
_METADATA = "metadata."
_KINDS = frozenset(type.name for type in NODE_TYPES)
_CHANGES = (EventType.NODE_CREATED, EventType.NODE_UPDATED)
_FIELDS: dict[str, Callable[[TelemetryEvent], str]] = {
    "model_id": lambda event: event.payload.model_id,
    "provider": lambda event: event.payload.provider,
    "trace_id": lambda event: event.trace_id,
    "span_id": lambda event: event.span_id,
}

Wanted = Callable[[TelemetryEvent], bool]


def wanted_events(request: pb.SubscriptionRequest) -> tuple[Wanted, int]:
    """What a subscription asks for, and how many events it may lag. Raises `Invalid`."""
    violations = [
        Violation(f"event_types[{index}]", f"{name[:64]!r} is no event type; use one of {', '.join(PAYLOADS)}")
        for index, name in enumerate(request.event_types)
        if name not in PAYLOADS
    ]
    violations += [
        Violation(f"filters[{key[:64]}]", f"is no filter key; use one of {', '.join(_FIELDS)} or metadata.<key>")
        for key in request.filters
        if key not in _FIELDS and not key.startswith(_METADATA)
    ]
    if not 0 <= request.buffer_size <= MAX_BUFFER:
        violations.append(Violation("buffer_size", f"is {request.buffer_size}; must be from 0 to {MAX_BUFFER:,}"))
    if violations:
        raise Invalid(*violations)
    types = frozenset(request.event_types)
    filters = tuple(request.filters.items())

    def wanted(event: TelemetryEvent) -> bool:
        return (not types or event.event_type in types) and all(_value(event, key) == value for key, value in filters)

    return wanted, request.buffer_size or DEFAULT_BUFFER


def _value(event: TelemetryEvent, key: str) -> str | None:
    field = _FIELDS.get(key)
    return field(event) if field is not None else event.metadata.get(key.removeprefix(_METADATA))


class Outlet:
    """Follows the change feed in a task of its own.

    most: events that are held for the subscriber. Where it takes none of them for STALL_S, or lags by more than the
    feed's own buffer, it is cut off. An async context manager.
    """

    def __init__(self, store: GraphStore, tenant: str, wanted: Wanted, most: int) -> None:
        self._store = store
        self._tenant = tenant
        self._wanted = wanted
        self._most = most
        self._held: deque[tuple[str, pb.Event]] = deque()
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()
        self._following: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._following is not None:
            self._following.cancel()

    @staticmethod
    def concerns(change: Event) -> bool:
        """Whether a change can be that of a telemetry event."""
        return change.type in _CHANGES and change.kind in _KINDS

    def follow(self, commits: AsyncIterator[list[Event]]) -> None:
        """Begins to follow."""
        self._following = asyncio.create_task(self._follow(commits), name="telemetry-outlet")
        self._following.add_done_callback(lambda _: self._arrived.set())

    async def events(self) -> AsyncIterator[pb.Event]:
        """Events in commit order.

        Raises:
            Overrun: once those that were held have been given, with the change to resume after.
            ShuttingDown, FeedGap, StoreUnavailable: as the feed does.
        """
        assert self._following is not None
        while True:
            while self._held:
                _, event = self._held.popleft()
                self._taken.set()
                yield event
            if self._following.done():
                self._following.result()
            self._arrived.clear()
            await self._arrived.wait()

    async def _follow(self, commits: AsyncIterator[list[Event]]) -> None:
        async for changes in commits:
            nodes = await self._store.get_nodes(self._tenant, [change.subject_id for change in changes])
            for change, event in _told(changes, nodes):
                if not self._wanted(event):
                    continue
                if len(self._held) >= self._most:
                    await self._room()
                self._held.append((change.id, _to_wire(event)))
                self._arrived.set()

    async def _room(self) -> None:
        last = self._held[-1][0]
        self._taken.clear()
        try:
            async with asyncio.timeout(STALL_S):
                await self._taken.wait()
        except TimeoutError:
            _log.info("subscriber cut off", held=len(self._held), last_event_id=last)
            raise Overrun(last) from None


def _told(changes: Sequence[Event], nodes: Sequence[Node]) -> list[tuple[Event, TelemetryEvent]]:
    """The events that changes tell of: each once, when its node came to be what it is. A stub is no event yet, and
    what a client makes of an event later is none."""
    by_id = {node.id: node for node in nodes}
    told = []
    for change in changes:
        node = by_id.get(change.subject_id)
        if node is None or is_stub(node):
            continue
        first = node.recorded_at == change.at
        revised = node.updated_at != node.created_at
        if not (first and not revised) and not (change.type is EventType.NODE_CREATED and revised):
            continue
        event = event_of(node)
        if event is not None:
            told.append((change, event))
    return told


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
