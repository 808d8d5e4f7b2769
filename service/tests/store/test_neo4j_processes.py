"""Several stores on one database, as several pods are: one chain, one feed, one of each id."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import pytest
from msgspec.structs import replace

from memory_graph.model.errors import AlreadyExists, FeedGap, NotFound
from memory_graph.model.kinds import EdgeType
from memory_graph.model.nodes import AgentData
from memory_graph.store.neo4j import open_store
from memory_graph.store.neo4j.follower import POLL_S
from store.chains import chain
from store.graphs import TENANT, agent, delete, link, prompt, response, session, update, write
from store.observed_contract import adds
from store.store_contract import create_nodes
from store.truth import counts_are_true, feed_is_whole
from support.neo4j_server import settings

pytestmark = pytest.mark.xdist_group("neo4j")


@pytest.fixture
async def stores(empty_neo4j):
    opened = [open_store(**settings(empty_neo4j)) for _ in range(3)]
    for store in opened:
        await store.stats(TENANT)
    yield opened
    for store in opened:
        await store.close()


async def next_events(subscription, count: int):
    """The next `count` events of a subscription."""
    events = []
    while len(events) < count:
        events += await asyncio.wait_for(subscription.next(), 30)
    return events


async def test_writers_of_one_session_make_one_chain_and_one_feed(stores, empty_neo4j):
    opened = session()
    await create_nodes(stores[0], opened)
    async with (
        stores[0].subscribe(TENANT) as first,
        stores[1].subscribe(TENANT) as second,
        stores[2].subscribe(TENANT) as x,
    ):
        before = await stores[0].changes(TENANT, None, 10_000)
        await asyncio.gather(*(store.apply(write(prompt(opened.node.id))) for _ in range(40) for store in stores[:2]))
        assert len(await chain(stores[2], opened.node.id)) == 80
        feed = (await stores[2].changes(TENANT, None, 10_000))[len(before) :]
        assert len(feed) == 80 * 3 - 1
        for subscription in (first, second, x):
            seen = await next_events(subscription, len(feed))
            assert [event for event in seen if event not in before] == feed
    await counts_are_true(stores[0], empty_neo4j, TENANT)
    feed_is_whole(empty_neo4j)


async def test_what_processes_add_to_a_session_at_once_is_all_there(stores):
    (opened,) = await create_nodes(stores[0], session())
    keys = {f"key {number}": "told" for number in range(30)}
    telling = (stores[number % 3].apply(write(adds(opened, **{key: "told"}))) for number, key in enumerate(keys))
    await asyncio.gather(*telling)
    (stored,) = await stores[0].get_nodes(TENANT, [opened.id])
    assert stored.data.metadata == keys


async def test_a_commit_of_another_process_is_told_soon(stores):
    async with stores[0].subscribe(TENANT) as subscription:
        applied = await stores[1].apply(write(agent()))
        assert await asyncio.wait_for(subscription.next(), POLL_S + 30) == applied.events


async def test_one_id_created_by_all_at_once_is_one_node(stores):
    opened = session()
    await create_nodes(stores[0], opened)
    create = prompt(opened.node.id)
    outcomes = await asyncio.gather(*(store.apply(write(create)) for store in stores for _ in range(3)))
    assert sum(outcome.created for outcome in outcomes) == 1
    assert len({outcome.results for outcome in outcomes}) == 1
    rivals = [agent(name, id=create.follows_edge_id) for name in ("a", "b", "c")]
    outcomes = await asyncio.gather(
        *(store.apply(write(rival)) for store, rival in zip(stores, rivals, strict=True)), return_exceptions=True
    )
    assert sorted(isinstance(outcome, AlreadyExists) for outcome in outcomes) == [False, True, True]


async def test_an_edge_id_is_taken_whatever_the_type(stores):
    first, second = await create_nodes(stores[0], agent("one"), agent("two"))
    (stored,) = await create_nodes(stores[0], link(EdgeType.REFERENCES, first.id, second.id))
    with pytest.raises(AlreadyExists):
        await stores[1].apply(write(link(EdgeType.TRANSFERS_TO, first.id, second.id, id=stored.id)))


async def test_an_id_of_an_edge_that_comes_with_a_node_can_be_taken(stores):
    opened, other = session(), session()
    await create_nodes(stores[0], opened, other)
    first = prompt(opened.node.id)
    await create_nodes(stores[0], first)
    second = prompt(other.node.id)
    clash = replace(second, edges=(replace(second.edges[0], id=first.edges[0].id),))
    good = prompt(other.node.id)
    outcomes = await asyncio.gather(stores[1].apply(write(clash)), stores[1].apply(write(good)), return_exceptions=True)
    assert isinstance(outcomes[0], AlreadyExists)
    assert outcomes[1].created == 1


async def test_everything_at_once_leaves_a_whole_graph(stores, empty_neo4j):
    """Creations, updates and ends of the same few nodes by three processes: refusals are fine, broken graphs not."""
    chance = random.Random(5)
    sessions = [session() for _ in range(3)]
    hubs = [agent(f"hub {i}") for i in range(3)]
    await create_nodes(stores[0], *sessions, *hubs)
    ids = [create.node.id for create in (*sessions, *hubs)]

    async def worker(store) -> None:
        for _ in range(40):
            session_id = chance.choice(sessions).node.id
            question = prompt(session_id)
            hub = chance.choice(hubs)
            attempt = chance.choice(
                [
                    (question, response(question.node.id), link(EdgeType.HANDLED_BY, question.node.id, hub.node.id)),
                    (question, link(EdgeType.REFERENCES, question.node.id, chance.choice(ids))),
                    (update(hub.node, AgentData(name=str(chance.random()))),),
                    (delete(chance.choice(ids)),) if chance.random() < 0.4 else (question,),
                    (question, delete(chance.choice(ids[6:]))) if len(ids) > 6 else (question,),
                ]
            )
            with suppress(NotFound):
                await store.apply(write(*attempt))
                ids.append(question.node.id)

    await asyncio.gather(*(worker(store) for store in stores for _ in range(2)))
    await counts_are_true(stores[0], empty_neo4j, TENANT)
    feed_is_whole(empty_neo4j)
    for create in sessions:
        await chain(stores[1], create.node.id)
    per_store = [await store.changes(TENANT, None, 100_000) for store in stores]
    assert per_store[0] == per_store[1] == per_store[2]


async def test_the_feed_drops_the_oldest_and_says_so(empty_neo4j):
    store = open_store(**settings(empty_neo4j), keep_changes=20)
    first = (await store.apply(write(agent()))).events[0]
    for i in range(60):
        await store.apply(write(agent(str(i))))
    feed = await store.changes(TENANT, None, 1_000)
    assert 20 <= len(feed) <= 24
    with pytest.raises(FeedGap):
        await store.changes(TENANT, first.id, 10)
    assert await store.changes(TENANT, feed[0].id, 1_000) == feed[1:]
    await store.close()


async def test_clocks_apart_keep_one_order_for_each_node(empty_neo4j):
    """A process whose clock is an hour behind changes what another has made: the later change is the later version."""
    ahead = open_store(**settings(empty_neo4j), clock=lambda: 5_000_000)
    behind = open_store(**settings(empty_neo4j), clock=lambda: 1_000)
    (stored,) = await create_nodes(ahead, agent("first", at=5))
    changed = await behind.apply(write(update(stored, AgentData(name="second"), at=6)))
    assert changed.results[0].recorded_at > stored.recorded_at
    for store in (ahead, behind):
        await store.close()
