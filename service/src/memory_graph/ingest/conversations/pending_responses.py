"""The responses that wait for their prompts, with limits of their number and age."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import structlog

from memory_graph.flow.retry import RetryPolicy
from memory_graph.ingest.clock_and_ids import ClockAndIds
from memory_graph.ingest.conversations.mapping import body_of, event_of
from memory_graph.ingest.conversations.response_joiner import ResponseJoiner
from memory_graph.ingest.dead_letters import ExpiredHandler
from memory_graph.ingest.telemetry.events import Rejected
from memory_graph.model.kinds import NodeType
from memory_graph.model.nodes import WAITING, Node
from memory_graph.model.queries import NodeFilter
from memory_graph.model.times import NS_PER_S
from memory_graph.store.protocol import GraphStore

SWEEP_INTERVAL_S = 60.0
"""Time between two searches for responses that are too old."""
_PAGE_SIZE = 100
_WAITING = NodeFilter(type=NodeType.INVOCATION, attributes=(("status", WAITING),))
_log = structlog.get_logger(__name__)


class PendingLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of pending responses. max_count: of a tenant; max_age_s: longest wait for the prompt, in seconds."""

    max_count: int = 100_000
    max_age_s: float = 86_400.0


class PendingResponses:
    """The pending responses of a store. They are nodes of the graph and outlive the process."""

    def __init__(
        self,
        store: GraphStore,
        retry: RetryPolicy,
        joiner: ResponseJoiner,
        on_expired: ExpiredHandler,
        limits: PendingLimits,
        ports: ClockAndIds,
    ) -> None:
        self._store = store
        self._retry = retry
        self._joiner = joiner
        self._on_expired = on_expired
        self._limits = limits
        self._ports = ports
        self._counts: dict[str, int] = {}
        self._tenants: set[str] = set()

    @property
    def count(self) -> int:
        """The approximate number of pending responses."""
        return sum(self._counts.values())

    async def capacity(self, tenant: str) -> int:
        """Return how many more may wait; responses of other processes count from the next sweep on."""
        if tenant not in self._counts:
            await self._count(tenant)
        return max(self._limits.max_count - self._counts[tenant], 0)

    async def any(self, tenant: str) -> bool:
        """Return whether some wait, with the accuracy of `capacity`."""
        return await self.capacity(tenant) < self._limits.max_count

    def track(self, tenant: str) -> None:
        """Sweep the pending responses of this tenant, too, from now on."""
        self._tenants.add(tenant)

    def adjust_count(self, tenant: str, change: int) -> None:
        """Count pending responses that were added or, below zero, removed."""
        if change:
            self._counts[tenant] = max(self._counts.get(tenant, 0) + change, 0)

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_INTERVAL_S)
            for tenant in sorted(self._tenants):
                try:
                    await self.sweep(tenant)
                except Exception as error:  # noqa: BLE001 - the next time may go well, and there has to be one
                    _log.warning("waiting responses not looked through", error_type=type(error).__name__)

    async def sweep(self, tenant: str) -> None:
        """Join responses that are too old with their prompts if those exist after all. The others are removed from the
        graph and go to the dead letters."""
        expires_before = self._ports.now() - int(self._limits.max_age_s * NS_PER_S)
        async for page in self._pages_before(tenant, expires_before):
            await self._joiner.join(tenant, page)
            for node in await self._joiner.get_nodes(tenant, [node.id for node in page]):
                await self._on_expired(tenant, [_expired(node)])
                await self._joiner.remove(tenant, node)
        await self._count(tenant)

    async def _pages_before(self, tenant: str, before: int) -> AsyncIterator[list[Node]]:
        condition = msgspec.structs.replace(_WAITING, before=before)
        while True:
            page = await self._retry.call(lambda: self._store.query(tenant, condition, _PAGE_SIZE, 0))
            if not page.nodes:
                return
            yield page.nodes

    async def _count(self, tenant: str) -> None:
        page = await self._retry.call(lambda: self._store.query(tenant, _WAITING, 1, 0))
        self._counts[tenant] = page.total_count


def _expired(node: Node) -> Rejected:
    try:
        event = event_of(node)
    except Rejected as unreadable:
        unreadable.body = body_of(node)
        return unreadable
    sentence = f"no prompt {event.body.prompt_event_id!r} came in time; send both again"
    return Rejected(event.event_id, event.event_type, "expired", sentence, body=body_of(node))


def queue_full(event_id: str, event_type: str) -> Rejected:
    """Return the rejection of a response that may not wait because too many do."""
    sentence = "too many responses wait for their prompts; send the prompt first, then this again"
    return Rejected(event_id, event_type, "waiting_full", sentence)
