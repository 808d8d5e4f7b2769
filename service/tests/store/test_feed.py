"""The live feed: every subscriber its own bounded buffer, and never a silent end."""

from __future__ import annotations

import asyncio

import pytest

from memory_graph.model.errors import StoreUnavailable
from memory_graph.model.kinds import EventType
from memory_graph.model.mutations import Event
from memory_graph.store.feed import Feed
from memory_graph.store.protocol import Overrun


def commit(seq: int, size: int = 1) -> tuple[Event, ...]:
    return tuple(
        Event(id=f"{seq}.{i}", type=EventType.NODE_CREATED, at=seq, subject_id="n", kind="AGENT") for i in range(size)
    )


async def test_subscribers_get_commits_of_their_tenant_in_order():
    feed = Feed()
    async with feed.subscribe("a") as first, feed.subscribe("a") as second, feed.subscribe("b") as other:
        for seq in (1, 2):
            feed.publish("a", commit(seq, 2))
        feed.publish("b", commit(3))
        assert [await first.next(), await first.next()] == [commit(1, 2), commit(2, 2)]
        assert await second.next() == commit(1, 2)
        assert await other.next() == commit(3)


async def test_what_was_committed_before_is_not_given():
    feed = Feed()
    feed.publish("a", commit(1))
    async with feed.subscribe("a") as subscription:
        feed.publish("a", commit(2))
        assert await subscription.next() == commit(2)


async def test_an_overrun_comes_after_what_was_buffered_and_names_the_last_of_it():
    feed = Feed(max_buffered=3)
    async with feed.subscribe("a") as slow, feed.subscribe("a") as quick:
        for seq in (1, 2, 3, 4):
            feed.publish("a", commit(seq, 2))
            assert await quick.next() == commit(seq, 2)
        assert await slow.next() == commit(1, 2)
        for _ in range(2):
            with pytest.raises(Overrun) as overrun:
                await slow.next()
            assert overrun.value.last_event_id == "1.1"


async def test_one_commit_larger_than_the_buffer_is_given_to_an_idle_subscriber():
    feed = Feed(max_buffered=3)
    async with feed.subscribe("a") as subscription:
        feed.publish("a", commit(1, 10))
        assert await subscription.next() == commit(1, 10)


async def test_leaving_ends_the_subscription_alone():
    feed = Feed()
    async with feed.subscribe("a") as stays:
        async with feed.subscribe("a") as leaves:
            pass
        feed.publish("a", commit(1))
        assert await stays.next() == commit(1)
        waiting = asyncio.ensure_future(leaves.next())
        feed.publish("a", commit(2))
        assert await stays.next() == commit(2)
        assert not waiting.done()
        waiting.cancel()


async def test_a_cancelled_wait_loses_nothing():
    feed = Feed()
    async with feed.subscribe("a") as subscription:
        waiting = asyncio.ensure_future(subscription.next())
        await asyncio.sleep(0)
        waiting.cancel()
        feed.publish("a", commit(1))
        assert await subscription.next() == commit(1)


async def test_a_feed_that_fails_ends_its_subscriptions_after_what_they_hold_and_those_made_later():
    feed = Feed()
    async with feed.subscribe("a") as reader, feed.subscribe("b") as waiting:
        hanging = asyncio.ensure_future(waiting.next())
        await asyncio.sleep(0)
        feed.publish("a", commit(1))
        feed.fail(StoreUnavailable("a commit cannot be told"))
        feed.publish("a", commit(2))
        assert await reader.next() == commit(1)
        for ended in (reader.next(), hanging):
            with pytest.raises(StoreUnavailable, match="cannot be told"):
                await asyncio.wait_for(ended, 20)
    async with feed.subscribe("a") as later:
        feed.publish("a", commit(3))
        assert await later.next() == commit(3)
    feed.fail(StoreUnavailable("ended"), for_good=True)
    async with feed.subscribe("a") as never:
        with pytest.raises(StoreUnavailable, match="ended"):
            await asyncio.wait_for(never.next(), 20)
