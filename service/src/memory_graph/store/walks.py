"""Reads that answer in pages, the same for every store: scans, traversals, lineages and replays."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, TypeVar

from memory_graph.model.nodes import Node
from memory_graph.model.queries import LineageQuery, LineageStep, NodeFilter, Path, PointInTime, ReplayStep, Traversal
from memory_graph.store.rules.lineage import lineage
from memory_graph.store.rules.replay import replay_order, replay_steps
from memory_graph.store.rules.steps import Steps
from memory_graph.store.rules.traversal import GraphView, paths, trails

T = TypeVar("T")
SCAN_PAGE_SIZE = 500
"""Nodes that a scan reads at once."""
_PAGE_SIZE = 100
"""Paths or steps whose content is in memory at once."""


class WalkingStore(ABC):
    """A store whose paged reads are made of rules over a view of the graph. clock: recorded time in nanoseconds."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._recorded_time = clock
        self._closing: asyncio.Task[None] | None = None

    @abstractmethod
    async def _walk(self, tenant: str, at: PointInTime, rule: Callable[[GraphView[Any]], Steps[T]]) -> T:
        """Run a rule over one snapshot of the graph."""

    @abstractmethod
    async def _page_before(self, tenant: str, condition: NodeFilter, key: Any) -> tuple[list[Node], Any]:  # noqa: ANN401
        """Return the page of a scan that comes after a key (None: the first), and its own key; None at the end."""

    @abstractmethod
    async def _close(self) -> None:
        """Commit what was accepted and close the resources of the store."""

    async def close(self) -> None:
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def scan(self, tenant: str, condition: NodeFilter) -> AsyncIterator[Node]:
        key: Any = None
        while True:
            nodes, key = await self._page_before(tenant, condition, key)
            for node in nodes:
                yield node
            if key is None:
                return

    async def traverse(self, tenant: str, traversal: Traversal) -> AsyncIterator[Path]:
        at = self._pinned(traversal.at)
        walked = await self._walk(tenant, at, partial(trails, traversal=traversal))
        for first in range(0, len(walked), _PAGE_SIZE):
            for path in await self._walk(tenant, at, partial(paths, trails=walked[first : first + _PAGE_SIZE])):
                yield path

    async def lineage(self, tenant: str, query: LineageQuery) -> list[LineageStep]:
        return await self._walk(tenant, self._pinned(query.at), partial(lineage, query=query))

    async def replay(
        self, tenant: str, session_id: str, as_of: int | None, known_at: int | None
    ) -> AsyncIterator[ReplayStep]:
        at = self._pinned(PointInTime(as_of=as_of, known_at=known_at))
        order = await self._walk(tenant, at, partial(replay_order, session_id=session_id))
        for first in range(0, len(order), _PAGE_SIZE):
            for step in await self._walk(tenant, at, partial(replay_steps, entries=order[first : first + _PAGE_SIZE])):
                yield step

    def _pinned(self, at: PointInTime) -> PointInTime:
        """A point in time that stays the same for all reads of one call."""
        if at.as_of is None and at.known_at is not None:
            return PointInTime(as_of=self._recorded_time(), known_at=at.known_at)
        return at
