"""Responses whose prompts have not come: how many may wait, and for how long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import msgspec
import structlog

from memory_graph.flow.retry import RetryPolicy
from memory_graph.ingest.conversations.joining import Joining
from memory_graph.ingest.conversations.mapping import WAITING, body_of, event_of
from memory_graph.ingest.telemetry.dead_letters import GivenUp
from memory_graph.ingest.telemetry.events import Rejected
from memory_graph.model.kinds import NodeType
from memory_graph.model.nodes import Node
from memory_graph.model.queries import NodeFilter
from memory_graph.store.protocol import GraphStore

SWEEP_S = 60.0
"""How often those that have waited too long are looked for."""
_PAGE = 100
_WAITING = NodeFilter(type=NodeType.INVOCATION, attributes=(("status", WAITING),))
_NS = 1_000_000_000
_log = structlog.get_logger(__name__)


class WaitingLimits(msgspec.Struct, frozen=True, kw_only=True):
    """most: responses of a tenant that may wait; age_s: for how long, in seconds."""

    most: int = 100_000
    age_s: float = 86_400.0


class WaitingRoom:
    """The responses that wait are nodes of the graph: they outlive the process. now: the time, in nanoseconds."""

    def __init__(
        self,
        store: GraphStore,
        retry: RetryPolicy,
        joining: Joining,
        given_up: GivenUp,
        limits: WaitingLimits,
        *,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self._store = store
        self._retry = retry
        self._joining = joining
        self._given_up = given_up
        self._limits = limits
        self._now = now
        self._counts: dict[str, int] = {}
        self._tenants: set[str] = set()

    @property
    def held(self) -> int:
        """About how many wait."""
        return sum(self._counts.values())

    async def room(self, tenant: str) -> int:
        """How many more may wait; other processes' are seen at the next sweep."""
        if tenant not in self._counts:
            await self._count(tenant)
        return max(self._limits.most - self._counts[tenant], 0)

    async def any(self, tenant: str) -> bool:
        """Whether some wait, as far as `room` sees."""
        return await self.room(tenant) < self._limits.most

    def serves(self, tenant: str) -> None:
        """Says that events of a tenant are stored here: its waiting responses are looked through from now on."""
        self._tenants.add(tenant)

    def changed(self, tenant: str, more: int) -> None:
        """Counts some that wait from now on; or, where negative, no longer."""
        if more:
            self._counts[tenant] = max(self._counts.get(tenant, 0) + more, 0)

    async def run(self) -> None:
        """Sweeps until it is cancelled."""
        while True:
            await asyncio.sleep(SWEEP_S)
            for tenant in sorted(self._tenants):
                try:
                    await self.sweep(tenant)
                except Exception as error:  # noqa: BLE001 - the next time may go well, and there has to be one
                    _log.warning("waiting responses not looked through", error_type=type(error).__name__)

    async def sweep(self, tenant: str) -> None:
        """Joins what has waited for too long with its prompt, if that is there after all; the rest goes to the dead
        letters and leaves the graph."""
        oldest = self._now() - int(self._limits.age_s * _NS)
        async for page in self._pages(tenant, oldest):
            await self._joining.join(tenant, page)
            for node in await self._joining.nodes(tenant, [node.id for node in page]):
                await self._given_up(tenant, [_expired(node)])
                await self._joining.forget(tenant, node)
        await self._count(tenant)

    async def _pages(self, tenant: str, before: int) -> AsyncIterator[list[Node]]:
        condition = msgspec.structs.replace(_WAITING, before=before)
        while True:
            page = await self._retry.call(lambda: self._store.query(tenant, condition, _PAGE, 0))
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


def full(event_id: str, event_type: str) -> Rejected:
    """A response that may not wait: too many do."""
    sentence = "too many responses wait for their prompts; send the prompt first, then this again"
    return Rejected(event_id, event_type, "waiting_full", sentence)
