"""The part of the store contract about the change feed, and about the end of a store."""

from __future__ import annotations

import asyncio

import pytest

from memory_graph.model.errors import FeedGap, Invalid, NotFound
from memory_graph.model.ids import new_id
from memory_graph.model.kinds import EventType
from memory_graph.store.protocol import Overrun
from store.graphs import TENANT, agent, delete, prompt, response, session, write
from store.store_contract import create_nodes, session_of_prompts


class FeedContract:
    async def test_events_name_what_changed_in_commit_order(self, store):
        opened = session()
        question, following = prompt(opened.node.id), prompt(opened.node.id)
        applied = [await store.apply(write(create)) for create in (opened, question, following)]
        applied.append(await store.apply(write(delete(question.node.id))))
        events = [event for outcome in applied for event in outcome.events]
        session_id = opened.node.id
        assert [(event.type, event.kind, event.subject_id, event.session_id) for event in events] == [
            (EventType.SESSION_CREATED, "SESSION", session_id, session_id),
            (EventType.NODE_CREATED, "PROMPT", question.node.id, session_id),
            (EventType.EDGE_CREATED, "BELONGS_TO", question.edges[0].id, session_id),
            (EventType.NODE_CREATED, "PROMPT", following.node.id, session_id),
            (EventType.EDGE_CREATED, "BELONGS_TO", following.edges[0].id, session_id),
            (EventType.EDGE_CREATED, "FOLLOWS", following.follows_edge_id, session_id),
            (EventType.NODE_DELETED, "PROMPT", question.node.id, session_id),
            (EventType.EDGE_DELETED, "BELONGS_TO", question.edges[0].id, session_id),
            (EventType.EDGE_DELETED, "FOLLOWS", following.follows_edge_id, session_id),
        ]
        assert await store.changes(TENANT, None, 1_000) == events

    async def test_a_deleted_session_tells_of_all_that_ended_with_it(self, store):
        opened, prompts = await session_of_prompts(store, 3)
        events = (await store.apply(write(delete(opened.id)))).events
        assert events[0].subject_id == opened.id
        assert {event.subject_id for event in events if event.type is EventType.NODE_DELETED} == {
            opened.id,
            *(question.id for question in prompts),
        }
        assert sum(event.type is EventType.EDGE_DELETED for event in events) == 5

    async def test_the_feed_resumes_after_any_event(self, store):
        await session_of_prompts(store, 5)
        whole = await store.changes(TENANT, None, 1_000)
        for index, event in enumerate(whole):
            assert await store.changes(TENANT, event.id, 1_000) == whole[index + 1 :]

    async def test_the_feed_is_read_in_whole_commits(self, store):
        await session_of_prompts(store, 5)
        whole = await store.changes(TENANT, None, 1_000)
        read, after = [], None
        while more := await store.changes(TENANT, after, 2):
            assert len(more) <= 4
            read += more
            after = more[-1].id
        assert read == whole

    async def test_the_feed_of_one_session(self, store):
        opened, _ = await session_of_prompts(store, 2)
        await session_of_prompts(store, 2)
        other = session()
        await create_nodes(store, other, prompt(opened.id))
        events = await store.changes(TENANT, None, 1_000, opened.id)
        assert {event.session_id for event in events} == {opened.id}
        assert events == [event for event in await store.changes(TENANT, None, 1_000) if event.session_id == opened.id]

    @pytest.mark.parametrize("position", ["", "x", "1", "1.", ".1", "-1.0", "1.0.0", "\u0663.\u0660", "9" * 40 + ".0"])
    async def test_what_is_no_event_id_is_invalid(self, store, position):
        with pytest.raises(Invalid, match="event id"):
            await store.changes(TENANT, position, 10)

    async def test_a_position_the_feed_does_not_hold_is_a_gap(self, store):
        await create_nodes(store, agent())
        with pytest.raises(FeedGap):
            await store.changes(TENANT, "999.0", 10)

    async def test_a_subscriber_gets_each_commit_after_it_is_readable(self, store):
        async with store.subscribe(TENANT) as mine, store.subscribe("other") as theirs:
            applied = [await store.apply(write(agent(str(i)))) for i in range(3)]
            await store.apply(write(agent("theirs"), tenant="other"))
            assert [await mine.next() for _ in range(3)] == [outcome.events for outcome in applied]
            assert (await theirs.next())[0].kind == "AGENT"

    async def test_a_waiting_subscriber_is_woken(self, store):
        async with store.subscribe(TENANT) as subscription:
            waiting = asyncio.create_task(subscription.next())
            applied = await store.apply(write(agent()))
            assert await waiting == applied.events

    async def test_a_slow_subscriber_is_told_where_to_resume(self, store):
        async with store.subscribe(TENANT) as subscription:
            for _ in range(30):
                await store.apply(write(*(agent(str(i)) for i in range(10))))
            seen = []
            resume = None
            while resume is None:
                try:
                    seen += await subscription.next()
                except Overrun as overrun:
                    resume = overrun.last_event_id
        assert seen
        assert resume == seen[-1].id
        rest = await store.changes(TENANT, resume, 10_000)
        assert len(seen) + len(rest) == 300

    async def test_a_refused_or_repeated_write_is_no_event(self, store):
        create = agent()
        await create_nodes(store, create)
        before = await store.changes(TENANT, None, 100)
        await store.apply(write(create))
        with pytest.raises(NotFound):
            await store.apply(write(agent(), response(new_id())))
        assert await store.changes(TENANT, None, 100) == before


class LifecycleContract:
    async def test_ping_answers(self, store):
        await store.ping()
        await store.check_writable()
        assert await store.changes(TENANT, None, 10) == []

    async def test_close_commits_what_was_accepted(self, store):
        writes = [asyncio.create_task(store.apply(write(agent(str(i))))) for i in range(20)]
        await asyncio.sleep(0)
        await store.close()
        assert all([(await item).created for item in writes])
        await store.close()
