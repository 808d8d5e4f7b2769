"""The distributed store: one Neo4j database, a writer in every process, reads from replicas where there are any."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from neo4j import AsyncManagedTransaction

from memory_graph.model.errors import GraphError, NotFound
from memory_graph.model.ids import new_id
from memory_graph.model.kinds import Direction, EdgeType
from memory_graph.model.mutations import Applied, Event, Write
from memory_graph.model.nodes import Edge, Node
from memory_graph.model.queries import (
    NodeFilter,
    Page,
    PointInTime,
    Stats,
)
from memory_graph.store.codec import PlainCodec
from memory_graph.store.commits import CommitPage
from memory_graph.store.events import position
from memory_graph.store.feed import KEEP_CHANGES, MAX_BUFFERED_EVENTS, Feed, FeedSubscription
from memory_graph.store.neo4j import changes, commits, query, read
from memory_graph.store.neo4j.auth import Password
from memory_graph.store.neo4j.connection import Neo4jConnection, consume_error
from memory_graph.store.neo4j.follower import CommitFollower
from memory_graph.store.neo4j.query import PageKey
from memory_graph.store.neo4j.rows import Neo4jRows
from memory_graph.store.neo4j.schema import migrate
from memory_graph.store.neo4j.view import Neo4jView
from memory_graph.store.neo4j.write import Neo4jCommitter
from memory_graph.store.protocol import Codec, Spawn, spawn_unwatched
from memory_graph.store.rules.counters import stats_of
from memory_graph.store.rules.sequence import HybridLogicalClock
from memory_graph.store.rules.steps import Steps, run_async
from memory_graph.store.walks import SCAN_PAGE_SIZE, WalkingStore
from memory_graph.store.writer import BatchingWriter, WriterObserver

MAX_CONNECTIONS = 50

T = TypeVar("T")


def open_store(
    uri: str,
    *,
    username: str | None = None,
    password: Password = None,
    database: str = "neo4j",
    max_connections: int = MAX_CONNECTIONS,
    codec: Codec | None = None,
    clock: Callable[[], int] = time.time_ns,
    new_id: Callable[[], str] = new_id,
    keep_changes: int = KEEP_CHANGES,
    max_buffered_events: int = MAX_BUFFERED_EVENTS,
    observer: WriterObserver | None = None,
    spawn: Spawn = spawn_unwatched,
) -> Neo4jStore:
    """A store that connects, and makes or migrates the schema, when it is first used: a database that is away now
    may come later.

    uri: neo4j:// for a cluster (reads go to replicas), bolt:// for one server; +s for TLS. username: None for a
    server without authentication. password: itself, or what reads it: once, and again after the server refused it.
    max_connections: of this process to one server. codec: how content is written; as it is, by default. clock:
    recorded time in nanoseconds. new_id: ids the store makes without being given one. keep_changes: commits the change
    feed keeps. max_buffered_events: of one live subscription. observer: told of every commit. spawn: starts the task
    that follows the commits of others.

    Call it on the event loop that uses the store.
    """
    opened = Neo4jConnection(
        uri, username=username, password=password, database=database, max_connections=max_connections
    )
    rows, logical_clock = Neo4jRows(codec or PlainCodec()), HybridLogicalClock(clock)
    committer = Neo4jCommitter(opened, rows, logical_clock, new_id=new_id, keep_changes=keep_changes)
    return Neo4jStore(opened, rows, logical_clock, committer, Feed(max_buffered_events), observer, spawn)


class Neo4jStore(WalkingStore):
    """A `memory_graph.store.protocol.GraphStore` in a database that other processes write to as well."""

    has_one_writer = False

    def __init__(
        self,
        database: Neo4jConnection,
        rows: Neo4jRows,
        clock: HybridLogicalClock,
        committer: Neo4jCommitter,
        feed: Feed,
        observer: WriterObserver | None,
        spawn: Spawn,
    ) -> None:
        super().__init__(clock.clock)
        self._database = database
        self._rows = rows
        self._clock = clock
        self._committer = committer
        self._feed = feed
        self._writer = BatchingWriter(self._commit, self._publish, observer=observer)
        self._spawn = spawn
        self._follower: CommitFollower | None = None
        self._opening: asyncio.Task[CommitFollower] | None = None

    async def apply(self, write: Write) -> Applied:
        return await self._writer.submit(write)

    async def get_nodes(self, tenant: str, ids: Sequence[str]) -> list[Node]:
        return await self._read(lambda tx: read.nodes(tx, self._rows, tenant, ids)) if ids else []

    async def get_edge(self, tenant: str, edge_id: str) -> Edge | None:
        return await self._read(lambda tx: read.edge(tx, self._rows, tenant, edge_id))

    async def get_edges(
        self, tenant: str, node_id: str, direction: Direction, edge_type: EdgeType | None
    ) -> list[Edge]:
        edges = await self._read(lambda tx: read.edges(tx, self._rows, tenant, node_id, direction, edge_type))
        if edges is None:
            raise NotFound("node", node_id)
        return edges

    async def query(self, tenant: str, condition: NodeFilter, limit: int, offset: int) -> Page:
        cypher = query.to_cypher(tenant, condition)
        if cypher is None:
            return Page([], 0)

        async def work(tx: AsyncManagedTransaction) -> Page:
            nodes = await query.read_page(tx, self._rows, tenant, cypher, limit, offset)
            return Page(nodes, await query.total(tx, cypher))

        return await self._read(work)

    async def _page_before(
        self, tenant: str, condition: NodeFilter, key: PageKey | None
    ) -> tuple[list[Node], PageKey | None]:
        cypher = query.to_cypher(tenant, condition)
        if cypher is None:
            return [], None
        return await self._read(lambda tx: query.page_before(tx, self._rows, tenant, cypher, SCAN_PAGE_SIZE, key))

    async def _walk(self, tenant: str, at: PointInTime, rule: Callable[[Neo4jView], Steps[T]]) -> T:
        return await self._read(lambda tx: run_async(rule(Neo4jView(tx, self._rows, tenant, at))))

    async def stats(self, tenant: str) -> Stats:
        return stats_of(await self._read(lambda tx: read.counts(tx, tenant)))

    async def totals(self) -> Stats:
        return stats_of(await self._read(read.totals))

    async def changes(self, tenant: str, after: str | None, limit: int, session_id: str | None = None) -> list[Event]:
        await self._ready()
        return await self._database.read_newest(lambda tx: changes.read(tx, tenant, after, limit, session_id))

    async def commits(self, after: int, limit: int) -> CommitPage:
        await self._ready()
        return await self._database.read_newest(lambda tx: commits.read(tx, after, limit))

    async def claim_cursor(self, reader: str, holder: str, seconds: float) -> int | None:
        await self._ready()
        return await self._database.write(lambda tx: commits.claim(tx, reader, holder, seconds))

    async def move_cursor(self, reader: str, holder: str, seq: int) -> bool:
        return await self._database.write(lambda tx: commits.move(tx, reader, holder, seq))

    async def release_cursor(self, reader: str, holder: str) -> None:
        await self._database.write(lambda tx: commits.release(tx, reader, holder))

    def subscribe(self, tenant: str) -> FeedSubscription:
        return self._feed.subscribe(tenant)

    async def ping(self) -> None:
        await self._ready()
        await self._database.probe(read.PING)

    async def check_writable(self) -> None:
        await self._ready()
        await self._database.probe(read.PROBE, at=self._clock.clock())

    async def _commit(self, writes: Sequence[Write]) -> Sequence[Applied | GraphError]:
        follower = await self._ready()
        follower.committing = True
        try:
            return await self._committer.commit(writes)
        finally:
            follower.committing = False

    async def _publish(self, writes: Sequence[Write], outcomes: Sequence[Applied | GraphError]) -> None:
        """Tells of what is committed, after what other processes committed before. What is not told here is when the
        database is asked next."""
        follower = await self._ready()
        await follower.publish(
            [
                (position(outcome.events[0].id)[0], write.tenant, outcome.events)
                for write, outcome in zip(writes, outcomes, strict=True)
                if isinstance(outcome, Applied) and outcome.events
            ]
        )

    async def _read(self, work: Callable[[AsyncManagedTransaction], Awaitable[T]]) -> T:
        await self._ready()
        return await self._database.read(work)

    async def _ready(self) -> CommitFollower:
        """Makes or migrates the schema before the first use, and starts to listen for commits of others. A caller that
        goes away leaves it to end by itself."""
        if self._follower is not None:
            return self._follower
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open(), name="store-opening")
            self._opening.add_done_callback(consume_error)
        return await asyncio.shield(self._opening)

    async def _open(self) -> CommitFollower:
        await self._database.in_session(migrate)
        newest = await self._database.read_newest(lambda tx: changes.newest(tx, self._clock))
        self._follower = CommitFollower(self._database, self._feed, newest, self._spawn)
        return self._follower

    async def _close(self) -> None:
        await self._writer.close()
        if self._follower is not None:
            await self._follower.close()
        await self._database.close()
