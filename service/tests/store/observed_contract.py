"""The contract of observed nodes: they come twice, late, or after nodes that refer to them (mutations.CreateNode)."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from memory_graph.model.errors import NotFound
from memory_graph.model.ids import new_id
from memory_graph.model.kinds import Direction, EdgeType, EventType, NodeType
from memory_graph.model.mutations import CreateNode
from memory_graph.model.nodes import ErrorData, InvocationData, MetricData, ModelData, SessionData, is_stub, stub
from memory_graph.model.queries import NodeFilter, PointInTime, Stats, Traversal
from store.graphs import TENANT, edge, link, node, session, update, write
from store.store_contract import create_nodes

AT = 1_700_000_000_000_000_000


def seen(type=NodeType.INVOCATION, data=None, *, id=None, at=AT, session=None, edges=()) -> CreateNode:
    data = data or InvocationData(model_id="large", status="success")
    return CreateNode(node=node(type, data, id=id, at=at, session=session), edges=edges, observed=True)


def stood_in(id: str, at: int = AT) -> CreateNode:
    return CreateNode(node=stub(id, at), observed=True)


def adds(opened, *, is_active: bool = True, **metadata: str):
    return replace(update(opened, SessionData(metadata=metadata, is_active=is_active)), adds=True)


async def recorded_events(store, tenant=TENANT):
    return [(event.type, event.kind, event.subject_id) for event in await store.changes(tenant, None, 1_000)]


class ObservedContract:
    async def test_what_was_told_before_changes_nothing_whatever_it_says_now(self, store):
        first = seen()
        (model,) = await create_nodes(store, seen(NodeType.MODEL, ModelData(model_id="x")))
        (stored,) = await create_nodes(store, first)
        before = await recorded_events(store)
        again = replace(
            first,
            node=replace(first.node, data=InvocationData(model_id="small"), created_at=AT + 5, updated_at=AT + 5),
            edges=(edge(EdgeType.USES_MODEL, first.node.id, model.id),),
        )
        applied = await store.apply(write(again))
        assert (applied.results, applied.created, applied.events) == ((stored,), 0, ())
        assert await store.get_nodes(TENANT, [stored.id]) == [stored]
        assert await store.get_edges(TENANT, stored.id, Direction.BOTH, None) == []
        assert await recorded_events(store) == before

    async def test_the_same_twice_in_one_write_is_stored_once(self, store):
        first = seen()
        applied = await store.apply(write(first, replace(first, node=replace(first.node, created_at=AT + 5))))
        assert applied.created == 1
        assert applied.results[0] == applied.results[1]
        assert (await store.stats(TENANT)).nodes == 1

    async def test_a_stub_that_is_replaced_in_its_own_write_is_counted_once(self, store):
        (opened,) = await create_nodes(store, session())
        id = new_id()
        error = seen(NodeType.ERROR, ErrorData(error_type="timeout"), id=id, session=opened.id)
        await create_nodes(store, stood_in(id), error)
        for condition in (NodeFilter(type=NodeType.ERROR), NodeFilter(session_id=opened.id)):
            assert (await store.query(TENANT, condition, 10, 0)).total_count == 1
        assert (await store.query(TENANT, NodeFilter(type=NodeType.INVOCATION), 10, 0)).total_count == 0
        assert (await store.stats(TENANT)).nodes == 2

    async def test_a_stub_becomes_what_it_stood_for(self, store, clock):
        id, cause = new_id(), new_id()
        (effect, _) = await create_nodes(store, seen(), stood_in(id, AT + 9))
        await store.apply(write(link(EdgeType.CAUSED_ERROR, id, effect.id, at=AT + 9)))
        clock.now += 100
        known_at = clock.now
        clock.now += 100
        real = seen(NodeType.ERROR, ErrorData(error_type="timeout", message="late"), id=id, at=AT + 1)
        await create_nodes(store, stood_in(cause))
        applied = await store.apply(write(replace(real, edges=(edge(EdgeType.TRIGGERED_BY, id, cause, at=AT),))))
        (stored,) = applied.results
        assert (stored.type, stored.data, stored.created_at, stored.updated_at) == (
            NodeType.ERROR, real.node.data, AT + 1, AT + 1)  # fmt: skip
        assert [(event.type, event.kind) for event in applied.events] == [
            (EventType.NODE_UPDATED, "ERROR"), (EventType.EDGE_CREATED, "TRIGGERED_BY")]  # fmt: skip
        assert await store.get_nodes(TENANT, [id]) == [stored]
        assert {e.type for e in await store.get_edges(TENANT, id, Direction.BOTH, None)} == {
            EdgeType.CAUSED_ERROR, EdgeType.TRIGGERED_BY}  # fmt: skip
        assert (await store.query(TENANT, NodeFilter(type=NodeType.ERROR, before=AT + 1, text="late"), 9, 0)).nodes == [
            stored
        ]
        assert (await store.query(TENANT, NodeFilter(type=NodeType.INVOCATION), 9, 0)).total_count == 2
        walk = Traversal(
            start=(effect.id,), direction=Direction.INCOMING, at=PointInTime(as_of=AT + 20, known_at=known_at)
        )
        (path,) = [path async for path in store.traverse(TENANT, walk) if path.edges]
        assert is_stub(path.nodes[-1])
        walk = replace(walk, at=PointInTime(as_of=AT + 20))
        (path,) = [path async for path in store.traverse(TENANT, walk) if path.edges]
        assert path.nodes[-1] == stored

    async def test_a_stub_that_is_filled_joins_its_session_and_is_counted_there(self, store):
        id = new_id()
        (opened, _) = await create_nodes(store, session(), stood_in(id))
        real = seen(NodeType.PERFORMANCE_METRIC, MetricData(name="latency", value=4.0), id=id, session=opened.id)
        (stored,) = await create_nodes(store, real)
        assert stored.session_id == opened.id
        page = await store.query(TENANT, NodeFilter(session_id=opened.id), 9, 0)
        assert (page.nodes, page.total_count) == ([stored], 1)
        assert await store.stats(TENANT) == Stats(nodes=2, edges=0, sessions=1, active_sessions=1)
        assert (await create_nodes(store, real)) == (stored,)

    async def test_a_stub_does_not_take_the_place_of_a_node_nor_of_a_stub(self, store):
        id, unknown = new_id(), new_id()
        (stored, stub_then) = await create_nodes(store, seen(id=id), stood_in(unknown))
        assert await create_nodes(store, stood_in(id), stood_in(unknown, AT + 7)) == (stored, stub_then)

    async def test_a_stub_and_what_it_stands_for_in_one_write(self, store):
        id = new_id()
        _, stored = await create_nodes(store, stood_in(id), seen(id=id, at=AT - 3))
        assert not is_stub(stored)
        assert await store.get_nodes(TENANT, [id]) == [stored]
        assert (await store.stats(TENANT)).nodes == 1

    async def test_a_stub_of_a_refused_write_stays_a_stub(self, store):
        id = new_id()
        (waiting,) = await create_nodes(store, stood_in(id))
        lost = write(seen(id=id), link(EdgeType.REFERENCES, id, new_id()))
        with pytest.raises(NotFound):
            await store.apply(lost)
        assert await store.get_nodes(TENANT, [id]) == [waiting]
        refused, applied = await asyncio.gather(
            store.apply(lost), store.apply(write(seen(id=id))), return_exceptions=True
        )
        assert isinstance(refused, NotFound)
        assert await store.get_nodes(TENANT, [id]) == list(applied.results)
        assert not is_stub(applied.results[0])

    async def test_a_closed_session_takes_in_what_was_seen_in_it(self, store):
        (opened,) = await create_nodes(store, session())
        await store.apply(write(update(opened, SessionData(is_active=False))))
        (late,) = await create_nodes(store, seen(session=opened.id))
        assert late.session_id == opened.id
        assert (await store.query(TENANT, NodeFilter(session_id=opened.id), 9, 0)).nodes == [late]

    async def test_what_is_added_to_a_session_leaves_what_it_says(self, store):
        (opened,) = await create_nodes(store, session(channel="web"))
        more = adds(opened, team="travel", channel="phone")
        applied = await store.apply(write(more))
        (stored,) = applied.results
        assert stored.data == SessionData(metadata={"channel": "web", "team": "travel"}, is_active=True)
        assert [event.type for event in applied.events] == [EventType.NODE_UPDATED]
        again = await store.apply(write(more))
        assert (again.results, again.created, again.events) == ((stored,), 0, ())
        (closed,) = await create_nodes(store, adds(opened, is_active=False))
        assert closed.data == replace(stored.data, is_active=False)
        assert await create_nodes(store, adds(opened, is_active=True)) == (closed,)
        assert (await store.stats(TENANT)).active_sessions == 0
        (stored,) = await store.get_nodes(TENANT, [opened.id])
        assert stored == closed
        assert (await store.query(TENANT, NodeFilter(attributes=(("metadata.team", "travel"),)), 9, 0)).nodes == [
            stored
        ]

    async def test_what_many_add_to_a_session_at_once_is_all_there(self, store):
        (opened,) = await create_nodes(store, session())
        keys = {f"key {number}": "told" for number in range(20)}
        await asyncio.gather(*(store.apply(write(adds(opened, **{key: "told"}))) for key in keys))
        (stored,) = await store.get_nodes(TENANT, [opened.id])
        assert stored.data == SessionData(metadata=keys)

    async def test_an_unknown_session_refuses_it(self, store):
        with pytest.raises(NotFound):
            await create_nodes(store, seen(session=new_id()))
