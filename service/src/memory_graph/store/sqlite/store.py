"""The embedded store: one SQLite file, one writer, several readers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from memory_graph.model.errors import GraphError, StoreUnavailable
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
from memory_graph.store.feed import KEEP_CHANGES, MAX_BUFFERED_EVENTS, Feed, FeedSubscription
from memory_graph.store.protocol import Codec
from memory_graph.store.rules.steps import Steps
from memory_graph.store.sqlite.connection import FileLock, failures, open_writer
from memory_graph.store.sqlite.pool import ReaderPool
from memory_graph.store.sqlite.query import PageKey
from memory_graph.store.sqlite.read import SqliteReader
from memory_graph.store.sqlite.rows import SqliteRows
from memory_graph.store.sqlite.schema import migrate
from memory_graph.store.sqlite.view import SqliteView
from memory_graph.store.sqlite.write import SqliteCommitter
from memory_graph.store.walks import SCAN_PAGE_SIZE, WalkingStore
from memory_graph.store.writer import BatchingWriter, WriterObserver

T = TypeVar("T")

READERS = 4
_MAX_INLINE_READS = 8
"""Nodes that are read by id without going to a thread."""


def open_store(
    path: Path | str,
    *,
    codec: Codec | None = None,
    clock: Callable[[], int] = time.time_ns,
    new_id: Callable[[], str] = new_id,
    keep_changes: int = KEEP_CHANGES,
    max_buffered_events: int = MAX_BUFFERED_EVENTS,
    readers: int = READERS,
    observer: WriterObserver | None = None,
) -> SqliteStore:
    """Opens the file, making or migrating it first. Does file I/O; call it before serving.

    codec: how content is written; as it is, by default. clock: recorded time in nanoseconds. new_id: ids of edges the
    store makes without being given one. keep_changes: commits the change feed keeps. max_buffered_events: of one live
    subscription. readers: how many reads run at once. observer: told of every commit.

    Raises `StoreUnavailable` when the file cannot be opened or has another owner, `StoreCorrupt` when it is damaged,
    of a newer schema, or no database.
    """
    path = Path(path)
    codec = codec or PlainCodec()
    lock = FileLock(path)
    try:
        with failures(path):
            connection = open_writer(path)
            try:
                migrate(connection)
                committer = SqliteCommitter(
                    connection, path, SqliteRows(codec), clock=clock, new_id=new_id, keep_changes=keep_changes
                )
                pool = ReaderPool(path, codec, readers)
            except BaseException:
                connection.close()
                raise
    except BaseException:
        lock.release()
        raise
    return SqliteStore(lock, committer, pool, Feed(max_buffered_events), clock, observer)


class SqliteStore(WalkingStore):
    """A `memory_graph.store.protocol.GraphStore` in one file. Belongs to the event loop it is first used on."""

    has_one_writer = True

    def __init__(
        self,
        lock: FileLock,
        committer: SqliteCommitter,
        pool: ReaderPool,
        feed: Feed,
        clock: Callable[[], int],
        observer: WriterObserver | None,
    ) -> None:
        super().__init__(clock)
        self._lock = lock
        self._committer = committer
        self._pool = pool
        self._feed = feed
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._writer = BatchingWriter(self._commit, self._publish, observer=observer)

    async def _commit(self, writes: Sequence[Write]) -> Sequence[Applied | GraphError]:
        return await asyncio.get_running_loop().run_in_executor(self._write_thread, self._committer.commit, writes)

    async def _publish(self, writes: Sequence[Write], outcomes: Sequence[Applied | GraphError]) -> None:
        try:
            for write, outcome in zip(writes, outcomes, strict=True):
                if isinstance(outcome, Applied):
                    self._feed.publish(write.tenant, outcome.events)
        except Exception:
            self._feed.fail(
                StoreUnavailable(
                    "a commit could not be told to its subscribers; reconnect and resume after the last event"
                )
            )
            raise

    async def apply(self, write: Write) -> Applied:
        return await self._writer.submit(write)

    async def get_nodes(self, tenant: str, ids: Sequence[str]) -> list[Node]:
        if len(ids) <= _MAX_INLINE_READS:
            return self._pool.run_here(SqliteReader.nodes, tenant, ids)
        return await self._pool.run(SqliteReader.nodes, tenant, ids)

    async def get_edge(self, tenant: str, edge_id: str) -> Edge | None:
        return self._pool.run_here(SqliteReader.edge, tenant, edge_id)

    async def get_edges(
        self, tenant: str, node_id: str, direction: Direction, edge_type: EdgeType | None
    ) -> list[Edge]:
        return await self._pool.run(SqliteReader.edges, tenant, node_id, direction, edge_type)

    async def query(self, tenant: str, condition: NodeFilter, limit: int, offset: int) -> Page:
        return await self._pool.run(SqliteReader.query, tenant, condition, limit, offset)

    async def _page_before(
        self, tenant: str, condition: NodeFilter, key: PageKey | None
    ) -> tuple[list[Node], PageKey | None]:
        return await self._pool.run(SqliteReader.page_before, tenant, condition, SCAN_PAGE_SIZE, key)

    async def _walk(self, tenant: str, at: PointInTime, rule: Callable[[SqliteView], Steps[T]]) -> T:
        return await self._pool.run(SqliteReader.walk, tenant, at, rule)

    async def stats(self, tenant: str) -> Stats:
        return self._pool.run_here(SqliteReader.stats, tenant)

    async def totals(self) -> Stats:
        return await self._pool.run(SqliteReader.totals)

    async def changes(self, tenant: str, after: str | None, limit: int, session_id: str | None = None) -> list[Event]:
        return await self._pool.run(SqliteReader.changes, tenant, after, limit, session_id)

    async def commits(self, after: int, limit: int) -> CommitPage:
        return await self._pool.run(SqliteReader.commits, after, limit)

    async def claim_cursor(self, reader: str, holder: str, seconds: float) -> int | None:  # noqa: ARG002 - its own file
        return await self._pool.run(SqliteReader.cursor, reader)

    async def move_cursor(self, reader: str, holder: str, seq: int) -> bool:  # noqa: ARG002 - one owner, one holder
        await self._written(partial(self._committer.move_cursor, reader, seq))
        return True

    async def release_cursor(self, reader: str, holder: str) -> None:
        """Nothing is held."""

    def subscribe(self, tenant: str) -> FeedSubscription:
        return self._feed.subscribe(tenant)

    async def ping(self) -> None:
        await self._pool.run(SqliteReader.probe)

    async def check_writable(self) -> None:
        await self._written(self._committer.probe)

    async def _written(self, work: Callable[[], None]) -> None:
        """Commits something that is no write of the graph."""
        if self._closing is not None:
            raise StoreUnavailable("the store is closed; ask a running service")
        await asyncio.get_running_loop().run_in_executor(self._write_thread, work)

    async def _close(self) -> None:
        await self._writer.close()
        await asyncio.to_thread(self._let_go)

    def _let_go(self) -> None:
        self._pool.close()
        self._write_thread.shutdown()
        try:
            self._committer.close()
        finally:
            self._lock.release()
