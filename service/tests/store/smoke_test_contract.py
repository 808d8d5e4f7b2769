"""The part of the store contract about smoke tests: their tenant leaves no trace. The `contents` fixture yields all
that the store holds, rows as they are and the terms of the full-text index, but for numbers that only rise."""

from __future__ import annotations

import asyncio

import pytest

from memory_graph.model.errors import NotFound
from memory_graph.model.kinds import EdgeType, EventType
from memory_graph.model.nodes import PromptData
from memory_graph.model.queries import NodeFilter, Stats
from memory_graph.model.tenants import SMOKE_TEST_TENANT
from store.graphs import TENANT, agent, delete, link, prompt, response, session, unlink, update, write


async def smoke_test(store, word: str = "smoketest") -> None:
    """Writes of every kind in the smoke test's tenant, each of which is deleted again."""
    opened, clerk = session(kind="smoke"), agent("clerk")
    first, second = prompt(opened.node.id, f"{word} one", model="m"), prompt(opened.node.id, f"{word} two")
    answer = response(first.node.id, f"{word} three")
    linked = link(EdgeType.REFERENCES, first.node.id, clerk.node.id)
    for mutation in (opened, clerk, first, second, answer, linked):
        assert (await store.apply(write(mutation, tenant=SMOKE_TEST_TENANT))).events == ()
    results = await store.query(SMOKE_TEST_TENANT, NodeFilter(text=word), 10, 0)
    assert {node.id for node in results.nodes} == {first.node.id, second.node.id, answer.node.id}
    assert (await store.query(TENANT, NodeFilter(text=word), 10, 0)).total_count == 0
    await store.apply(
        write(
            update(first.node, PromptData(session_id=opened.node.id, content=f"{word} changed")),
            tenant=SMOKE_TEST_TENANT,
        )
    )
    for mutation in (
        unlink(linked.edge.id),
        delete(first.node.id),
        delete(clerk.node.id),
        delete(opened.node.id),
    ):
        assert (await store.apply(write(mutation, tenant=SMOKE_TEST_TENANT))).events == ()
    assert await store.get_nodes(SMOKE_TEST_TENANT, [opened.node.id, second.node.id, clerk.node.id]) == []


async def users_graph(store) -> None:
    """A graph with history: something was replaced in it, and something deleted."""
    opened, clerk = session(kind="chat"), agent("clerk")
    first, second = prompt(opened.node.id, "hello one"), prompt(opened.node.id, "hello two")
    await store.apply(write(opened, clerk, first, second))
    await store.apply(write(update(first.node, PromptData(session_id=opened.node.id, content="hello changed"))))
    await store.apply(write(delete(second.node.id)))
    await store.apply(write(link(EdgeType.REFERENCES, clerk.node.id, opened.node.id)))


class SmokeTestContract:
    async def test_repeated_smoke_tests_leave_everything_as_it_was(self, store, contents):
        await users_graph(store)
        before = await contents()
        assert before
        feed_state = (
            await store.changes(TENANT, None, 1_000),
            await store.commits(0, 1_000),
            await store.stats(TENANT),
        )
        for _ in range(3):
            await smoke_test(store)
        assert await contents() == before
        after = (await store.changes(TENANT, None, 1_000), await store.commits(0, 1_000), await store.stats(TENANT))
        assert after == feed_state
        assert await store.changes(SMOKE_TEST_TENANT, None, 10) == []
        assert await store.stats(SMOKE_TEST_TENANT) == Stats(nodes=0, edges=0, sessions=0, active_sessions=0)

    async def test_users_events_go_on_without_a_gap(self, store):
        async with store.subscribe(TENANT) as users, store.subscribe(SMOKE_TEST_TENANT) as nobodys:
            (first,) = (await store.apply(write(agent("before")))).events
            await smoke_test(store)
            (second,) = (await store.apply(write(agent("after")))).events
            assert (first.id, second.id) == ("1.0", "2.0")
            assert [await users.next(), await users.next()] == [(first,), (second,)]
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(nobodys.next(), 0.1)

    async def test_a_session_that_is_left_is_no_loss_to_another(self, store, contents):
        """Two at once: the end of one neither ends the other nor hides what it deletes."""
        await users_graph(store)
        before = await contents()
        opened = session()
        await store.apply(write(opened, tenant=SMOKE_TEST_TENANT))
        await smoke_test(store)
        added = prompt(opened.node.id, "still here")
        await store.apply(write(added, tenant=SMOKE_TEST_TENANT))
        await store.apply(write(delete(opened.node.id), tenant=SMOKE_TEST_TENANT))
        assert await contents() == before

    async def test_writes_of_users_beside_it_are_counted_and_told(self, store):
        """All of them share batches, and so transactions."""
        opened = session()
        await store.apply(write(opened))
        questions = [prompt(opened.node.id, f"hello {i}") for i in range(10)]
        await asyncio.gather(
            *(store.apply(write(each)) for each in questions), *(smoke_test(store, word) for word in ("alpha", "beta"))
        )
        created = [event for event in await store.changes(TENANT, None, 1_000) if event.type is EventType.NODE_CREATED]
        assert {event.subject_id for event in created} == {each.node.id for each in questions}
        stats = await store.stats(TENANT)
        assert (stats.nodes, stats.sessions, stats.edges) == (11, 1, 19)

    async def test_what_is_refused_is_refused_as_ever(self, store):
        with pytest.raises(NotFound):
            await store.apply(write(delete(session().node.id), tenant=SMOKE_TEST_TENANT))
        opened = session()
        await store.apply(write(opened))
        with pytest.raises(NotFound):
            await store.apply(write(prompt(opened.node.id), tenant=SMOKE_TEST_TENANT))
