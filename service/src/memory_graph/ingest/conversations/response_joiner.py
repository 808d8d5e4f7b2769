"""The second writes of events: additions to stored sessions, and pending responses that join their prompts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import structlog
from msgspec.structs import replace

from memory_graph.flow.retry import RetryPolicy
from memory_graph.ingest.clock_and_ids import ClockAndIds
from memory_graph.ingest.conversations.events import ResponseEvent
from memory_graph.ingest.conversations.mapping import body_of, event_of, is_waiting
from memory_graph.ingest.dead_letters import ExpiredHandler
from memory_graph.ingest.telemetry.events import Rejected
from memory_graph.ingest.write_planner import SessionUpdate, node_id
from memory_graph.model.errors import NotFound
from memory_graph.model.kinds import Direction, EdgeType, NodeType
from memory_graph.model.mutations import DeleteNode, UpdateNode, Write
from memory_graph.model.nodes import Node, SessionData
from memory_graph.store.protocol import GraphStore

StoreResponses = Callable[[str, Sequence[ResponseEvent]], Awaitable[Sequence[Rejected | None]]]
"""Stores responses of a tenant; returns for each None once it is durable, or its rejection."""

_log = structlog.get_logger(__name__)


class ResponseJoiner:
    """Updates sessions and joins pending responses with their prompts.

    All methods may raise `StoreUnavailable`, and may be repeated."""

    def __init__(
        self,
        store: GraphStore,
        retry: RetryPolicy,
        store_responses: StoreResponses,
        on_expired: ExpiredHandler,
        ports: ClockAndIds,
    ) -> None:
        self._store = store
        self._retry = retry
        self._store_responses = store_responses
        self._on_expired = on_expired
        self._ports = ports

    async def update_session(self, tenant: str, session: Node, update: SessionUpdate) -> None:
        """Add to a session the metadata that it does not have yet, and its end."""
        if not isinstance(session.data, SessionData) or _has_all(session.data, update):
            return
        data = SessionData(metadata=update.metadata, is_active=not update.ended)
        mutation = UpdateNode(node=replace(session, data=data, updated_at=update.updated_at), adds=True)
        try:
            await self._retry.call(lambda: self._store.apply(Write(tenant=tenant, mutations=(mutation,))))
        except NotFound:
            _log.info("session deleted while it was told of", session_id=session.id)

    async def join_to_prompt(self, tenant: str, prompt_id: str) -> int:
        """Store the responses that wait for a prompt, which is stored now. Returns how many wait no longer."""
        try:
            edges = await self._retry.call(
                lambda: self._store.get_edges(tenant, prompt_id, Direction.INCOMING, EdgeType.TRIGGERED_BY)
            )
        except NotFound:
            return 0
        return await self.join(tenant, await self.get_nodes(tenant, [edge.from_id for edge in edges]))

    async def join(self, tenant: str, nodes: Sequence[Node]) -> int:
        """Store the responses of waiting nodes whose prompts are stored. Returns how many nodes were removed."""
        held = [(node, event) for node in nodes if is_waiting(node) if (event := _readable(node)) is not None]
        if not held:
            return 0
        waiting, events = [node for node, _ in held], [event for _, event in held]
        outcomes = await self._store_responses(tenant, events)
        stored = {node.id for node in await self.get_nodes(tenant, [node_id(event.event_id) for event in events])
                 if node.type is NodeType.RESPONSE}  # fmt: skip
        removed = 0
        for node, event, rejected in zip(waiting, events, outcomes, strict=True):
            if rejected is not None:
                rejected.body = body_of(node)
                await self._on_expired(tenant, [rejected])
            if rejected is not None or node_id(event.event_id) in stored:
                await self.remove(tenant, node)
                removed += 1
        return removed

    async def remove(self, tenant: str, waiting: Node) -> None:
        """Remove a waiting node."""
        mutation = DeleteNode(node_id=waiting.id, at=self._ports.now(), relink_edge_id=self._ports.new_id())
        write = Write(tenant=tenant, mutations=(mutation,))
        try:
            await self._retry.call(lambda: self._store.apply(write))
        except NotFound:
            _log.debug("another process was first", node_id=waiting.id)

    async def get_nodes(self, tenant: str, ids: Sequence[str]) -> list[Node]:
        """Return the nodes that exist."""
        if not ids:
            return []
        return await self._retry.call(lambda: self._store.get_nodes(tenant, ids))


def _readable(waiting: Node) -> ResponseEvent | None:
    """Return the response of a waiting node; None if it fits its schema no more, and will expire."""
    try:
        return event_of(waiting)
    except Rejected as problem:
        _log.error("a response that waits cannot be read", node_id=waiting.id, reason=str(problem))
        return None


def _has_all(data: SessionData, update: SessionUpdate) -> bool:
    return update.metadata.keys() <= data.metadata.keys() and not (update.ended and data.is_active)
