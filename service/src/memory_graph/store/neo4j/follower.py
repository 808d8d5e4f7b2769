"""The live half of the change feed where several processes commit: every commit once, in the order of numbers.

What this process commits it tells at once, from memory, after reading what others have committed in between. What
others commit while it is idle it learns by asking.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from memory_graph.model.errors import StoreUnavailable
from memory_graph.model.mutations import Event
from memory_graph.store.feed import Feed
from memory_graph.store.neo4j import changes
from memory_graph.store.neo4j.connection import Neo4jConnection
from memory_graph.store.protocol import Spawn

POLL_S = 0.25
"""How long a commit of another process may go untold, beside the time of a read."""
_READ_BATCH_SIZE = 500

FollowedCommit = tuple[int, str, tuple[Event, ...]]
"""A commit: its number, tenant and events."""


class CommitFollower:
    """Publishes commits to a `Feed`. start: the newest commit that subscribers need not hear of. spawn: starts the task
    that asks; where that ends, so does every subscription."""

    def __init__(self, database: Neo4jConnection, feed: Feed, start: int, spawn: Spawn) -> None:
        self._database = database
        self._feed = feed
        self._position = start
        self._turn = asyncio.Lock()
        self.committing = False
        """Set while this process commits: it tells of everything then, and a poll would read its commits again."""
        self._polling = spawn(self._poll(), "commit-follower")

    async def publish(self, commits: Sequence[FollowedCommit]) -> None:
        """Tells of commits of this process, and before each of those of others that came before it."""
        async with self._turn:
            for seq, tenant, events in commits:
                if seq > self._position + 1:
                    try:
                        await self._catch_up(seq - 1)
                    except StoreUnavailable:
                        return  # the commits stand; all of this is told when the database is back
                if seq == self._position + 1:
                    self._publish_commit(seq, tenant, events)

    async def close(self) -> None:
        self._polling.cancel()
        await asyncio.gather(self._polling, return_exceptions=True)

    async def _poll(self) -> None:
        try:
            while True:
                await asyncio.sleep(POLL_S)
                if not self.committing:
                    await self._poll_once()
        finally:
            ended = "this process no longer follows the change feed; reconnect and resume after the last event"
            self._feed.fail(StoreUnavailable(ended), for_good=True)

    async def _poll_once(self) -> None:
        async with self._turn:
            try:
                await self._catch_up(None)
            except StoreUnavailable:
                return  # whoever reads or writes hears of it; nothing is skipped

    async def _catch_up(self, last: int | None) -> None:
        """Tells of what is committed up to a number, or of everything."""
        while last is None or self._position < last:
            commits = await self._database.read_newest(
                lambda tx: changes.read_all(tx, self._position, _READ_BATCH_SIZE)
            )
            for seq, tenant, events in commits:
                if last is None or seq <= last:
                    self._publish_commit(seq, tenant, events)
            if len(commits) < _READ_BATCH_SIZE:
                return

    def _publish_commit(self, seq: int, tenant: str, events: tuple[Event, ...]) -> None:
        self._feed.publish(tenant, events)
        self._position = seq
