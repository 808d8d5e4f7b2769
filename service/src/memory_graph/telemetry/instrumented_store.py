"""A store that measures the latency of writes, reads and queries."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence

from memory_graph.model.errors import StoreUnavailable
from memory_graph.model.kinds import Direction, EdgeType
from memory_graph.model.mutations import Applied, Event, Write
from memory_graph.model.nodes import Edge, Node
from memory_graph.model.queries import LineageQuery, LineageStep, NodeFilter, Page, Path, ReplayStep, Stats, Traversal
from memory_graph.store.commits import CommitPage
from memory_graph.store.protocol import GraphStore, Subscription
from memory_graph.telemetry.metrics import Metrics


class InstrumentedStore:
    """A `GraphStore` that passes every call on to another and observes write, read and query latency.

    clock: monotonic, in seconds. written_at, refused_at: the times, by it, when the store last committed a write, and
    last could not.
    """

    def __init__(self, store: GraphStore, metrics: Metrics, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._writes = metrics.write_latency_seconds
        self._reads = metrics.read_latency_seconds
        self._queries = metrics.query_duration_seconds
        self.written_at = self.refused_at = float("-inf")

    @property
    def has_one_writer(self) -> bool:
        return self._store.has_one_writer

    async def apply(self, write: Write) -> Applied:
        started = time.perf_counter()
        try:
            applied = await self._store.apply(write)
        except StoreUnavailable:
            self.refused_at = self._clock()
            raise
        self._writes.observe(time.perf_counter() - started)
        if applied.events:
            self.written_at = self._clock()
        return applied

    async def get_nodes(self, tenant: str, ids: Sequence[str]) -> list[Node]:
        with self._reads.time():
            return await self._store.get_nodes(tenant, ids)

    async def get_edge(self, tenant: str, edge_id: str) -> Edge | None:
        with self._reads.time():
            return await self._store.get_edge(tenant, edge_id)

    async def get_edges(
        self, tenant: str, node_id: str, direction: Direction, edge_type: EdgeType | None
    ) -> list[Edge]:
        with self._reads.time():
            return await self._store.get_edges(tenant, node_id, direction, edge_type)

    async def query(self, tenant: str, condition: NodeFilter, limit: int, offset: int) -> Page:
        with self._queries.time():
            return await self._store.query(tenant, condition, limit, offset)

    async def lineage(self, tenant: str, query: LineageQuery) -> list[LineageStep]:
        with self._reads.time():
            return await self._store.lineage(tenant, query)

    def scan(self, tenant: str, condition: NodeFilter) -> AsyncIterator[Node]:
        return self._store.scan(tenant, condition)

    def traverse(self, tenant: str, traversal: Traversal) -> AsyncIterator[Path]:
        return self._store.traverse(tenant, traversal)

    def replay(
        self, tenant: str, session_id: str, as_of: int | None, known_at: int | None
    ) -> AsyncIterator[ReplayStep]:
        return self._store.replay(tenant, session_id, as_of, known_at)

    async def stats(self, tenant: str) -> Stats:
        return await self._store.stats(tenant)

    async def totals(self) -> Stats:
        return await self._store.totals()

    async def changes(self, tenant: str, after: str | None, limit: int, session_id: str | None = None) -> list[Event]:
        return await self._store.changes(tenant, after, limit, session_id)

    def subscribe(self, tenant: str) -> Subscription:
        return self._store.subscribe(tenant)

    async def commits(self, after: int, limit: int) -> CommitPage:
        return await self._store.commits(after, limit)

    async def claim_cursor(self, reader: str, holder: str, seconds: float) -> int | None:
        return await self._store.claim_cursor(reader, holder, seconds)

    async def move_cursor(self, reader: str, holder: str, seq: int) -> bool:
        return await self._store.move_cursor(reader, holder, seq)

    async def release_cursor(self, reader: str, holder: str) -> None:
        await self._store.release_cursor(reader, holder)

    async def ping(self) -> None:
        await self._store.ping()

    async def check_writable(self) -> None:
        await self._store.check_writable()

    async def close(self) -> None:
        await self._store.close()
