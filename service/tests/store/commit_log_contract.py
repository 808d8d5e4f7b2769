"""The part of the store contract about the commit log: the outbox of what the store has committed."""

from __future__ import annotations

import asyncio

from memory_graph.model.kinds import EventType
from store.graphs import agent, write

READER = "publisher"


class CommitLogContract:
    async def test_every_commit_of_every_tenant_is_there_once_in_order(self, store):
        applied = [
            (tenant, (await store.apply(write(agent(str(i)), tenant=tenant))).events)
            for i, tenant in enumerate(("a", "b", "a", "c"))
        ]
        read = await store.commits(0, 1_000)
        assert [(commit.tenant, commit.events) for commit in read.commits] == applied
        assert [commit.seq for commit in read.commits] == [1, 2, 3, 4]
        assert (read.newest, read.dropped) == (4, 0)
        assert read.commits[0].events[0].type is EventType.NODE_CREATED

    async def test_it_is_read_in_pieces_of_whole_commits(self, store):
        for i in range(5):
            await store.apply(write(agent(f"{i} one"), agent(f"{i} two")))
        first = await store.commits(0, 3)
        assert [commit.seq for commit in first.commits] == [1, 2]
        rest = await store.commits(2, 1_000)
        assert [commit.seq for commit in rest.commits] == [3, 4, 5]
        assert (await store.commits(5, 10)).commits == ()

    async def test_an_empty_log(self, store):
        read = await store.commits(0, 10)
        assert (read.commits, read.newest, read.dropped) == ((), 0, 0)

    async def test_a_cursor_begins_at_nothing_and_only_rises(self, store):
        assert await store.claim_cursor(READER, "me", 60) == 0
        assert await store.move_cursor(READER, "me", 7)
        assert await store.move_cursor(READER, "me", 5)
        assert await store.claim_cursor(READER, "me", 60) == 7
        assert await store.claim_cursor("another reader", "me", 60) == 0


class SharedCursorContract:
    """The contract of a store that several processes have open."""

    async def test_a_cursor_has_one_holder(self, store):
        assert await store.claim_cursor(READER, "me", 60) == 0
        assert await store.claim_cursor(READER, "you", 60) is None
        assert not await store.move_cursor(READER, "you", 3)
        assert await store.move_cursor(READER, "me", 2)
        await store.release_cursor(READER, "you")
        assert await store.claim_cursor(READER, "you", 60) is None
        await store.release_cursor(READER, "me")
        assert await store.claim_cursor(READER, "you", 60) == 2
        assert not await store.move_cursor(READER, "me", 9)

    async def test_a_claim_ends_with_its_time(self, store):
        assert await store.claim_cursor(READER, "me", 0.01) == 0
        async with asyncio.timeout(10):
            while await store.claim_cursor(READER, "you", 60) is None:
                pass
        assert not await store.move_cursor(READER, "me", 1)

    async def test_of_many_who_claim_at_once_one_has_it(self, store):
        claims = await asyncio.gather(*(store.claim_cursor(READER, str(i), 60) for i in range(8)))
        assert sorted(claims, key=str) == [0, *[None] * 7]
