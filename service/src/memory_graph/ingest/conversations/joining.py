"""What one write cannot do: add to a session that is there, and join responses that waited with their prompt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import structlog
from msgspec.structs import replace

from memory_graph.flow.retry import RetryPolicy
from memory_graph.ingest.conversations.events import ResponseEvent
from memory_graph.ingest.conversations.mapping import body_of, event_of, is_waiting
from memory_graph.ingest.planner import SessionTold, node_id
from memory_graph.ingest.telemetry.dead_letters import GivenUp
from memory_graph.ingest.telemetry.events import Rejected
from memory_graph.model.errors import NotFound
from memory_graph.model.kinds import Direction, EdgeType, NodeType
from memory_graph.model.mutations import DeleteNode, UpdateNode, Write
from memory_graph.model.nodes import Node, SessionData
from memory_graph.store.protocol import GraphStore

Record = Callable[[str, Sequence[ResponseEvent]], Awaitable[Sequence[Rejected | None]]]
"""Stores responses of a tenant, and says of each that it is durable or why it never will be."""

_log = structlog.get_logger(__name__)


class Joining:
    """record: the way that events are stored. now: the time, in nanoseconds. All may raise `StoreUnavailable`; doing
    them again does no harm."""

    def __init__(
        self,
        store: GraphStore,
        retry: RetryPolicy,
        record: Record,
        given_up: GivenUp,
        *,
        new_id: Callable[[], str],
        now: Callable[[], int],
    ) -> None:
        self._store = store
        self._retry = retry
        self._record = record
        self._given_up = given_up
        self._new_id = new_id
        self._now = now

    async def tell(self, tenant: str, session: Node, told: SessionTold) -> None:
        """Adds to a session what is told of it and not in it yet. What it says already stands."""
        if not isinstance(session.data, SessionData) or _says(session.data, told):
            return
        data = SessionData(metadata=told.metadata, is_active=not told.ended)
        added = UpdateNode(node=replace(session, data=data, updated_at=told.told_at), adds=True)
        try:
            await self._retry.call(lambda: self._store.apply(Write(tenant=tenant, mutations=(added,))))
        except NotFound:
            _log.info("session deleted while it was told of", session_id=session.id)

    async def join_to(self, tenant: str, prompt_id: str) -> int:
        """Stores the responses that wait for a prompt, which is there now. Yields how many do not wait any more."""
        try:
            edges = await self._retry.call(
                lambda: self._store.get_edges(tenant, prompt_id, Direction.INCOMING, EdgeType.TRIGGERED_BY)
            )
        except NotFound:
            return 0
        return await self.join(tenant, await self.nodes(tenant, [edge.from_id for edge in edges]))

    async def join(self, tenant: str, nodes: Sequence[Node]) -> int:
        """Stores the responses that nodes hold, as far as their prompts are there; those nodes go, and are counted."""
        held = [(node, event) for node in nodes if is_waiting(node) if (event := _readable(node)) is not None]
        if not held:
            return 0
        waiting, events = [node for node, _ in held], [event for _, event in held]
        outcomes = await self._record(tenant, events)
        there = {node.id for node in await self.nodes(tenant, [node_id(event.event_id) for event in events])
                 if node.type is NodeType.RESPONSE}  # fmt: skip
        gone = 0
        for node, event, rejected in zip(waiting, events, outcomes, strict=True):
            if rejected is not None:
                rejected.body = body_of(node)
                await self._given_up(tenant, [rejected])
            if rejected is not None or node_id(event.event_id) in there:
                await self.forget(tenant, node)
                gone += 1
        return gone

    async def forget(self, tenant: str, waiting: Node) -> None:
        """Takes a node away that held a response."""
        gone = DeleteNode(node_id=waiting.id, at=self._now(), relink_edge_id=self._new_id())
        write = Write(tenant=tenant, mutations=(gone,))
        try:
            await self._retry.call(lambda: self._store.apply(write))
        except NotFound:
            _log.debug("another process was first", node_id=waiting.id)

    async def nodes(self, tenant: str, ids: Sequence[str]) -> list[Node]:
        """The nodes that exist."""
        if not ids:
            return []
        return await self._retry.call(lambda: self._store.get_nodes(tenant, ids))


def _readable(waiting: Node) -> ResponseEvent | None:
    """The response that a node holds; None where it fits its schema no more, and will expire."""
    try:
        return event_of(waiting)
    except Rejected as problem:
        _log.error("a response that waits cannot be read", node_id=waiting.id, reason=str(problem))
        return None


def _says(data: SessionData, told: SessionTold) -> bool:
    return told.metadata.keys() <= data.metadata.keys() and not (told.ended and data.is_active)
