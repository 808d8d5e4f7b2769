"""The store contract of updates and deletions."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from memory_graph.model.errors import Invalid, NotFound
from memory_graph.model.ids import new_id
from memory_graph.model.kinds import Direction, EdgeType, EventType, NodeType
from memory_graph.model.nodes import AgentData, PromptData, PromptMetadata, SessionData
from memory_graph.model.queries import NodeFilter, Stats
from store.chains import chain
from store.graphs import (
    TENANT,
    agent,
    delete,
    link,
    prompt,
    response,
    tool,
    unlink,
    update,
    write,
)
from store.store_contract import create_nodes, session_of_prompts


class UpdateContract:
    async def test_an_update_replaces_the_data_and_nothing_else(self, store):
        opened, (question,) = await session_of_prompts(store, 1)
        changed = PromptData(session_id=new_id(), content="changed")
        (stored,) = (await store.apply(write(update(question, changed, at=question.created_at + 5)))).results
        assert stored.data == PromptData(session_id=opened.id, content="changed")
        assert (stored.session_id, stored.created_at, stored.updated_at) == (
            opened.id,
            question.created_at,
            question.created_at + 5,
        )
        assert stored.recorded_at > question.recorded_at
        assert await store.get_nodes(TENANT, [question.id]) == [stored]

    async def test_an_updated_node_is_found_by_what_it_says_now(self, store):
        opened, (question,) = await session_of_prompts(store, 1, model="old", topic="cats")
        data = PromptData(session_id=opened.id, content="dogs", metadata=PromptMetadata(model="new"))
        await store.apply(write(update(question, data)))
        for condition, count in (
            (NodeFilter(text="dogs"), 1),
            (NodeFilter(text="prompt"), 0),
            (NodeFilter(attributes=(("model", "new"),)), 1),
            (NodeFilter(attributes=(("model", "old"),)), 0),
            (NodeFilter(attributes=(("custom.topic", "cats"),)), 0),
        ):
            assert (await store.query(TENANT, condition, 10, 0)).total_count == count, condition

    async def test_an_update_of_nothing_is_not_found(self, store):
        with pytest.raises(NotFound):
            await store.apply(write(update(agent().node, AgentData(name="x"))))

    async def test_a_node_keeps_its_type(self, store):
        (stored,) = await create_nodes(store, agent())
        with pytest.raises(Invalid, match=r"node\.type"):
            await store.apply(write(update(replace(stored, type=NodeType.SESSION), SessionData())))

    async def test_created_and_updated_in_one_write(self, store):
        create = agent("one")
        applied = await store.apply(write(create, update(create.node, AgentData(name="two"))))
        assert applied.results[1].data == AgentData(name="two")
        assert await store.get_nodes(TENANT, [create.node.id]) == [applied.results[1]]

    async def test_closing_a_session_counts_and_is_told_once(self, store):
        opened, _ = await session_of_prompts(store, 0)
        events = [
            (await store.apply(write(update(opened, SessionData(is_active=active))))).events[0].type
            for active in (False, False, True)
        ]
        assert events == [EventType.SESSION_CLOSED, EventType.NODE_UPDATED, EventType.NODE_UPDATED]
        assert (await store.stats(TENANT)).active_sessions == 1


class DeleteContract:
    async def test_deleting_a_node_deletes_its_edges(self, store):
        first, second, three = await create_nodes(store, agent("one"), agent("two"), agent("three"))
        edges = await create_nodes(
            store,
            link(EdgeType.TRANSFERS_TO, first.id, second.id),
            link(EdgeType.TRANSFERS_TO, second.id, three.id),
            link(EdgeType.TRANSFERS_TO, second.id, second.id),
            link(EdgeType.TRANSFERS_TO, first.id, three.id),
        )
        await store.apply(write(delete(second.id)))
        assert [await store.get_edge(TENANT, edge.id) for edge in edges] == [None, None, None, edges[3]]
        assert await store.get_nodes(TENANT, [second.id]) == []
        assert await store.stats(TENANT) == Stats(nodes=2, edges=1, sessions=0, active_sessions=0)

    async def test_deleting_a_session_deletes_its_nodes_and_their_edges(self, store):
        (helper,) = await create_nodes(store, agent("stays"))
        surviving, (other,) = await session_of_prompts(store, 1)
        opened, prompts = await session_of_prompts(store, 3, model="m")
        (answered,) = await create_nodes(store, response(prompts[0].id, "unheard"))
        await create_nodes(store, tool(answered.id), link(EdgeType.HANDLED_BY, prompts[1].id, helper.id))
        await create_nodes(store, link(EdgeType.REFERENCES, other.id, prompts[2].id))
        await store.apply(write(delete(opened.id)))
        assert await store.stats(TENANT) == Stats(nodes=3, edges=1, sessions=1, active_sessions=1)
        assert await store.get_nodes(TENANT, [answered.id, opened.id, other.id]) == [other]
        for condition in (
            NodeFilter(session_id=opened.id),
            NodeFilter(text="unheard"),
            NodeFilter(attributes=(("model", "m"),)),
        ):
            assert (await store.query(TENANT, condition, 10, 0)).total_count == 0
        assert await store.get_edges(TENANT, helper.id, Direction.BOTH, None) == []
        with pytest.raises(NotFound):
            await store.apply(write(prompt(opened.id)))
        assert len(await chain(store, surviving.id)) == 1

    async def test_a_deleted_node_is_not_found_in_any_index(self, store):
        opened, (question,) = await session_of_prompts(store, 1, model="m")
        await store.apply(write(delete(question.id)))
        for condition in (
            NodeFilter(session_id=opened.id, type=NodeType.PROMPT),
            NodeFilter(type=NodeType.PROMPT),
            NodeFilter(text="prompt"),
            NodeFilter(attributes=(("model", "m"),)),
            NodeFilter(after=question.created_at, before=question.created_at),
        ):
            page = await store.query(TENANT, condition, 10, 0)
            assert (page.nodes, page.total_count) == ([], 0), condition

    async def test_a_deleted_edge_is_gone(self, store):
        first, second = await create_nodes(store, agent("one"), agent("two"))
        (made_edge,) = await create_nodes(store, link(EdgeType.TRANSFERS_TO, first.id, second.id))
        await store.apply(write(unlink(made_edge.id)))
        assert await store.get_edge(TENANT, made_edge.id) is None
        assert (await store.stats(TENANT)).edges == 0

    async def test_deleting_what_is_not_there_is_not_found(self, store):
        for absent in (delete(new_id()), unlink(new_id())):
            with pytest.raises(NotFound):
                await store.apply(write(absent))

    async def test_deleting_twice_in_one_write_is_refused_whole(self, store):
        (stored,) = await create_nodes(store, agent())
        with pytest.raises(NotFound):
            await store.apply(write(delete(stored.id), delete(stored.id)))
        assert await store.get_nodes(TENANT, [stored.id]) == [stored]
