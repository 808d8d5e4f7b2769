"""The part of the store contract about the one FOLLOWS chain of a session."""

from __future__ import annotations

import asyncio

import pytest

from memory_graph.model.ids import new_id
from memory_graph.model.kinds import EdgeType
from memory_graph.model.queries import Stats
from store.chains import chain
from store.graphs import TENANT, delete, prompt, session, unlink, write
from store.store_contract import create_nodes, session_of_prompts


class ChainContract:
    async def test_prompts_follow_one_another(self, store):
        opened, prompts = await session_of_prompts(store, 4)
        assert await chain(store, opened.id) == [question.id for question in reversed(prompts)]

    async def test_concurrent_prompts_make_one_chain(self, store):
        first, second = session(), session()
        await create_nodes(store, first, second)
        ids = [first.node.id, second.node.id]
        await asyncio.gather(*(store.apply(write(prompt(ids[i % 2]))) for i in range(100)))
        assert [len(await chain(store, id)) for id in ids] == [50, 50]

    async def test_follows_is_stored_under_the_id_given(self, store):
        opened, (question,) = await session_of_prompts(store, 1)
        following = prompt(opened.id)
        await create_nodes(store, following)
        link_edge = await store.get_edge(TENANT, following.follows_edge_id)
        assert (link_edge.from_id, link_edge.to_id, link_edge.type) == (
            following.node.id,
            question.id,
            EdgeType.FOLLOWS,
        )

    @pytest.mark.parametrize("deleted", [0, 2, 4], ids=["first", "middle", "last"])
    async def test_a_deleted_prompt_leaves_one_chain(self, store, deleted):
        opened, prompts = await session_of_prompts(store, 5)
        relink = new_id()
        await store.apply(write(delete(prompts[deleted].id, relink=relink)))
        remaining = [question.id for question in prompts if question is not prompts[deleted]]
        assert await chain(store, opened.id) == remaining[::-1]
        link_edge = await store.get_edge(TENANT, relink)
        assert (link_edge is not None) == (deleted == 2)
        (late,) = await create_nodes(store, prompt(opened.id))
        assert await chain(store, opened.id) == [late.id, *remaining[::-1]]

    async def test_all_prompts_of_a_session_can_go(self, store):
        opened, prompts = await session_of_prompts(store, 3)
        await store.apply(write(*(delete(question.id) for question in prompts)))
        (late,) = await create_nodes(store, prompt(opened.id))
        assert await chain(store, opened.id) == [late.id]
        assert await store.stats(TENANT) == Stats(nodes=2, edges=1, sessions=1, active_sessions=1)

    async def test_a_chain_cut_by_hand_goes_on_from_the_newest_prompt(self, store):
        opened, prompts = await session_of_prompts(store, 2)
        following = prompt(opened.id)
        await create_nodes(store, following)
        await store.apply(write(unlink(following.follows_edge_id)))
        await store.apply(write(delete(following.node.id)))
        (late,) = await create_nodes(store, prompt(opened.id))
        assert await chain(store, opened.id) == [late.id, prompts[1].id, prompts[0].id]
