"""The part of the store contract about the one FOLLOWS chain of a session."""

from __future__ import annotations

import asyncio

import pytest

from memory_graph.model.ids import new_id
from memory_graph.model.kinds import EdgeType
from memory_graph.model.queries import Stats
from store.chains import chain
from store.graphs import TENANT, delete, prompt, session, unlink, write
from store.store_contract import made, session_of_prompts


class ChainContract:
    async def test_prompts_follow_one_another(self, store):
        opened, prompts = await session_of_prompts(store, 4)
        assert await chain(store, opened.id) == [asked.id for asked in reversed(prompts)]

    async def test_concurrent_prompts_make_one_chain(self, store):
        one, two = session(), session()
        await made(store, one, two)
        ids = [one.node.id, two.node.id]
        await asyncio.gather(*(store.apply(write(prompt(ids[i % 2]))) for i in range(100)))
        assert [len(await chain(store, id)) for id in ids] == [50, 50]

    async def test_follows_is_stored_under_the_id_given(self, store):
        opened, (asked,) = await session_of_prompts(store, 1)
        following = prompt(opened.id)
        await made(store, following)
        found = await store.get_edge(TENANT, following.follows_edge_id)
        assert (found.from_id, found.to_id, found.type) == (following.node.id, asked.id, EdgeType.FOLLOWS)

    @pytest.mark.parametrize("gone", [0, 2, 4], ids=["first", "middle", "last"])
    async def test_a_deleted_prompt_leaves_one_chain(self, store, gone):
        opened, prompts = await session_of_prompts(store, 5)
        relink = new_id()
        await store.apply(write(delete(prompts[gone].id, relink=relink)))
        left = [asked.id for asked in prompts if asked is not prompts[gone]]
        assert await chain(store, opened.id) == left[::-1]
        found = await store.get_edge(TENANT, relink)
        assert (found is not None) == (gone == 2)
        (late,) = await made(store, prompt(opened.id))
        assert await chain(store, opened.id) == [late.id, *left[::-1]]

    async def test_all_prompts_of_a_session_can_go(self, store):
        opened, prompts = await session_of_prompts(store, 3)
        await store.apply(write(*(delete(asked.id) for asked in prompts)))
        (late,) = await made(store, prompt(opened.id))
        assert await chain(store, opened.id) == [late.id]
        assert await store.stats(TENANT) == Stats(nodes=2, edges=1, sessions=1, active_sessions=1)

    async def test_a_chain_cut_by_hand_goes_on_from_the_newest_prompt(self, store):
        opened, prompts = await session_of_prompts(store, 2)
        following = prompt(opened.id)
        await made(store, following)
        await store.apply(write(unlink(following.follows_edge_id)))
        await store.apply(write(delete(following.node.id)))
        (late,) = await made(store, prompt(opened.id))
        assert await chain(store, opened.id) == [late.id, prompts[1].id, prompts[0].id]
