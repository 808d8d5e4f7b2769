"""The part of the store contract about walks and time: traverse, lineage, replay, as_of and known_at."""

from __future__ import annotations

import pytest

from memory_graph.model.errors import NotFound
from memory_graph.model.ids import new_id
from memory_graph.model.kinds import Direction, EdgeType, LineageDirection
from memory_graph.model.nodes import AgentData, PromptData
from memory_graph.model.queries import LineageQuery, PointInTime, Traversal
from store.graphs import TENANT, agent, delete, link, prompt, response, session, tool, unlink, update, write
from store.store_contract import create_nodes


async def walked(store, *start: str, **rest) -> list[tuple[str, ...]]:
    traversal = Traversal(start=start, **rest)
    paths = [path async for path in store.traverse(TENANT, traversal)]
    for path in paths:
        assert len(path.nodes) == len(path.edges) + 1
        for index, crossed in enumerate(path.edges):
            ends = {path.nodes[index].id, path.nodes[index + 1].id}
            assert {crossed.from_id, crossed.to_id} == ends
    return [tuple(node.data.name for node in path.nodes) for path in paths]


async def agents(store, names: str, *links: str):
    """Agents named by letters, with an edge for each pair of letters."""
    nodes = dict(zip(names, await create_nodes(store, *(agent(name, at=10) for name in names)), strict=True))
    edges = await create_nodes(store, *(link(EdgeType.TRANSFERS_TO, nodes[a].id, nodes[b].id, at=10) for a, b in links))
    return nodes, dict(zip(links, edges, strict=True))


class WalkContract:
    async def test_paths_come_shortest_first_without_repeated_nodes(self, store):
        nodes, _ = await agents(store, "abcd", "ab", "bc", "ca", "cd", "aa")
        results = await walked(store, nodes["a"].id, depth=5)
        assert results == [("a", "b"), ("a", "b", "c"), ("a", "b", "c", "d")]

    async def test_paths_keep_to_depth_limit_direction_and_types(self, store):
        nodes, _ = await agents(store, "abcd", "ab", "bc", "cd")
        await create_nodes(store, link(EdgeType.REFERENCES, nodes["a"].id, nodes["d"].id))
        a, d = nodes["a"].id, nodes["d"].id
        assert await walked(store, a, depth=1, edge_types=frozenset({EdgeType.TRANSFERS_TO})) == [("a", "b")]
        assert await walked(store, a, edge_types=frozenset({EdgeType.REFERENCES}), depth=9) == [("a", "d")]
        assert await walked(store, d, direction=Direction.INCOMING, depth=1) == [("d", "c"), ("d", "a")]
        assert len(await walked(store, a, direction=Direction.BOTH, depth=2)) == 4
        assert len(await walked(store, a, depth=9, limit=2)) == 2
        assert set(await walked(store, a, d, direction=Direction.BOTH, depth=1)) == {
            ("a", "b"), ("a", "d"), ("d", "c"), ("d", "a")}  # fmt: skip

    async def test_parallel_edges_are_paths_of_their_own(self, store):
        nodes, _ = await agents(store, "ab", "ab", "ab")
        assert await walked(store, nodes["a"].id) == [("a", "b")] * 2

    async def test_an_unknown_start_is_not_found(self, store):
        (first,) = await create_nodes(store, agent())
        with pytest.raises(NotFound):
            await walked(store, first.id, new_id())

    async def test_a_hub_is_read_no_further_than_the_limit(self, store):
        (hub,) = await create_nodes(store, agent("hub"))
        leaves = await create_nodes(store, *(agent(f"leaf {i}") for i in range(700)))
        await create_nodes(store, *(link(EdgeType.REFERENCES, hub.id, leaf.id) for leaf in leaves))
        assert len(await walked(store, hub.id, limit=600)) == 600
        assert len(await walked(store, hub.id, limit=10_000)) == 700

    async def test_lineage_finds_causes_and_effects_by_distance(self, store):
        opened = session()
        question = prompt(opened.node.id)
        answered = response(question.node.id)
        called = tool(answered.node.id)
        await create_nodes(store, opened, question, answered, called)
        ids = {
            opened.node.id: "session",
            question.node.id: "prompt",
            answered.node.id: "response",
            called.node.id: "tool",
        }

        async def steps(start, direction, depth=3):
            results = await store.lineage(TENANT, LineageQuery(node_id=start, direction=direction, depth=depth))
            assert all((step.edge is None) == (step.distance == 0) for step in results)
            return [(ids[step.node.id], step.distance) for step in results]

        assert await steps(called.node.id, LineageDirection.UPSTREAM) == [
            ("session", -3), ("prompt", -2), ("response", -1), ("tool", 0)]  # fmt: skip
        assert await steps(question.node.id, LineageDirection.DOWNSTREAM) == [
            ("prompt", 0),
            ("response", 1),
            ("tool", 2),
        ]
        assert await steps(answered.node.id, LineageDirection.BOTH, 1) == [
            ("prompt", -1), ("response", 0), ("tool", 1)]  # fmt: skip
        with pytest.raises(NotFound):
            await steps(new_id(), LineageDirection.BOTH)

    async def test_a_ring_has_a_lineage_too(self, store):
        nodes, _ = await agents(store, "abc", "ab", "bc", "ca")
        results = await store.lineage(
            TENANT, LineageQuery(node_id=nodes["a"].id, direction=LineageDirection.BOTH, depth=9)
        )
        assert [(step.node.data.name, step.distance) for step in results] == [("c", -1), ("a", 0), ("b", 1)]


class ReplayContract:
    async def replayed(self, store, session_id, as_of=None, known_at=None):
        return [step async for step in store.replay(TENANT, session_id, as_of, known_at)]

    async def test_a_session_is_replayed_in_causal_order(self, store):
        opened = session(at=100)
        late_clock = prompt(opened.node.id, "first", at=90)
        answered = response(late_clock.node.id, at=50)
        called = tool(answered.node.id, at=10)
        second = prompt(opened.node.id, "second", at=60)
        await create_nodes(store, opened, late_clock, answered, called, second)
        steps = await self.replayed(store, opened.node.id)
        order = [step.node.id for step in steps]
        assert order == [create.node.id for create in (opened, late_clock, called, answered, second)] or order == [
            create.node.id for create in (opened, late_clock, answered, called, second)
        ]
        seen: set[str] = set()
        for step in steps:
            seen.add(step.node.id)
            assert all({crossed.from_id, crossed.to_id} <= seen for crossed in step.edges)
        assert sum(len(step.edges) for step in steps) == 5
        assert order.index(answered.node.id) < order.index(called.node.id)

    async def test_edges_to_the_outside_are_left_out(self, store):
        opened = session()
        question = prompt(opened.node.id)
        helper = agent()
        await create_nodes(store, opened, helper, question, link(EdgeType.HANDLED_BY, question.node.id, helper.node.id))
        steps = await self.replayed(store, opened.node.id)
        assert [len(step.edges) for step in steps] == [0, 1]

    async def test_a_ring_of_causes_is_replayed_whole(self, store):
        opened = session(at=1)
        first, second = prompt(opened.node.id, at=2), prompt(opened.node.id, at=3)
        await create_nodes(store, opened, first, second, link(EdgeType.REFERENCES, first.node.id, second.node.id))
        await create_nodes(store, link(EdgeType.REFERENCES, opened.node.id, second.node.id))
        steps = await self.replayed(store, opened.node.id)
        assert [step.node.id for step in steps] == [opened.node.id, first.node.id, second.node.id]

    async def test_an_unknown_session_is_not_found(self, store):
        opened = session()
        (_, question) = await create_nodes(store, opened, prompt(opened.node.id))
        for id in (new_id(), question.id):
            with pytest.raises(NotFound):
                await self.replayed(store, id)

    async def test_a_deleted_session_is_replayed_as_of_before_its_end(self, store, clock):
        clock.now = 1_000
        opened = session(at=100)
        question = prompt(opened.node.id, "then", at=200)
        await create_nodes(store, opened, question)
        clock.now = 2_000
        await store.apply(write(update(question.node, PromptData(session_id=opened.node.id, content="later"), at=300)))
        clock.now = 3_000
        await store.apply(write(delete(opened.node.id, at=400)))
        with pytest.raises(NotFound):
            await self.replayed(store, opened.node.id)

        async def contents(**at):
            return [step.node.data.content for step in (await self.replayed(store, opened.node.id, **at))[1:]]

        assert await contents(as_of=150) == []
        assert await contents(as_of=250) == ["then"]
        assert await contents(as_of=350) == ["later"]
        assert await contents(as_of=350, known_at=1_500) == ["then"]
        assert await contents(known_at=2_500) == ["later"]
        with pytest.raises(NotFound):
            await self.replayed(store, opened.node.id, as_of=400)


class TimeContract:
    async def test_both_axes_of_time(self, store, clock):
        clock.now = 1_000
        nodes, _ = await agents(store, "ab", "ab")
        a, b = nodes["a"], nodes["b"]
        clock.now = 2_000
        await store.apply(write(update(b, AgentData(name="B"), at=50)))
        clock.now = 3_000
        await store.apply(write(delete(b.id, at=80)))

        async def then(**at):
            return await walked(store, a.id, at=PointInTime(**at))

        assert await then() == []
        assert await then(as_of=10) == [("a", "b")]
        assert await then(as_of=49) == [("a", "b")]
        assert await then(as_of=50) == [("a", "B")]
        assert await then(as_of=79) == [("a", "B")]
        assert await then(as_of=80) == []
        assert await then(as_of=80, known_at=2_999) == [("a", "B")]
        assert await then(as_of=60, known_at=1_999) == [("a", "b")]
        assert await then(known_at=1_500) == [("a", "b")]
        assert await then(known_at=2_000) == [("a", "B")]
        assert await then(known_at=3_000) == []
        with pytest.raises(NotFound):
            await then(as_of=9)
        with pytest.raises(NotFound):
            await then(known_at=999)

    async def test_an_edge_ends_when_it_was_said_to(self, store, clock):
        clock.now = 1_000
        nodes, edges = await agents(store, "ab", "ab")
        clock.now = 2_000
        await store.apply(write(unlink(edges["ab"].id, at=70)))
        a = nodes["a"].id
        assert await walked(store, a) == []
        assert await walked(store, a, at=PointInTime(as_of=69)) == [("a", "b")]
        assert await walked(store, a, at=PointInTime(as_of=70)) == []
        assert await walked(store, a, at=PointInTime(known_at=1_999)) == [("a", "b")]

    async def test_a_change_said_to_be_before_the_version_it_replaces_takes_that_ones_place(self, store, clock):
        clock.now = 1_000
        nodes, _ = await agents(store, "ab", "ab")
        a, b = nodes["a"], nodes["b"]
        for now, name, at in ((2_000, "c", 90), (3_000, "d", 30)):
            clock.now = now
            await store.apply(write(update(b, AgentData(name=name), at=at)))
        for as_of, name in ((10, "b"), (89, "b"), (90, "d")):
            assert await walked(store, a.id, at=PointInTime(as_of=as_of)) == [("a", name)]
        assert await walked(store, a.id, at=PointInTime(as_of=90, known_at=2_500)) == [("a", "c")]
        clock.now = 4_000
        await store.apply(write(delete(b.id, at=20)))
        assert await walked(store, a.id, at=PointInTime(as_of=89)) == []
        assert await walked(store, a.id, at=PointInTime(as_of=90)) == []

    async def test_a_recreated_id_has_both_lives(self, store, clock):
        clock.now = 1_000
        nodes, _ = await agents(store, "ab", "ab")
        a, b = nodes["a"], nodes["b"]
        await store.apply(write(delete(b.id, at=20)))
        await create_nodes(store, agent("again", id=b.id, at=30), link(EdgeType.TRANSFERS_TO, b.id, a.id, at=30))
        assert await walked(store, b.id, at=PointInTime(as_of=35)) == [("again", "a")]
        assert await walked(store, a.id, at=PointInTime(as_of=15)) == [("a", "b")]
        with pytest.raises(NotFound):
            await walked(store, b.id, at=PointInTime(as_of=25))

    async def test_lineage_as_of_then(self, store, clock):
        nodes, _ = await agents(store, "abc", "ab", "bc")
        await store.apply(write(delete(nodes["b"].id, at=50)))
        c = nodes["c"].id

        async def causes(**at):
            return [
                step.node.data.name
                for step in await store.lineage(TENANT, LineageQuery(node_id=c, at=PointInTime(**at)))
            ]

        assert await causes() == ["c"]
        assert await causes(as_of=40) == ["a", "b", "c"]
        assert await causes(as_of=50) == ["c"]
