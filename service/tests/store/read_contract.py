"""The part of the store contract about reads of the present: edges, queries, tenants."""

from __future__ import annotations

import pytest

from memory_graph.model.errors import NotFound
from memory_graph.model.ids import new_id
from memory_graph.model.kinds import Direction, EdgeType, NodeType
from memory_graph.model.nodes import PromptData
from memory_graph.model.queries import NodeFilter, Stats
from store.graphs import TENANT, agent, delete, link, prompt, response, session, tool, unlink, update, write
from store.store_contract import create_nodes, session_of_prompts


class EdgeContract:
    async def test_edges_by_direction_and_type_oldest_first(self, store):
        first, second = await create_nodes(store, agent("one"), agent("two"))
        links = await create_nodes(
            store,
            link(EdgeType.REFERENCES, first.id, second.id, at=30),
            link(EdgeType.TRANSFERS_TO, first.id, second.id, at=10),
            link(EdgeType.REFERENCES, second.id, first.id, at=20),
            link(EdgeType.REFERENCES, first.id, first.id, at=20),
        )

        async def positions(direction, type=None):
            return [links.index(edge) for edge in await store.get_edges(TENANT, first.id, direction, type)]

        assert await positions(Direction.OUTGOING) == [1, 3, 0]
        assert await positions(Direction.INCOMING) == [2, 3]
        assert await positions(Direction.BOTH) == [1, 2, 3, 0]
        assert await positions(Direction.BOTH, EdgeType.REFERENCES) == [2, 3, 0]
        assert await positions(Direction.OUTGOING, EdgeType.INHERITS) == []

    async def test_edges_of_an_unknown_node_are_not_found(self, store):
        with pytest.raises(NotFound):
            await store.get_edges(TENANT, new_id(), Direction.BOTH, None)

    async def test_properties_are_kept(self, store):
        first, second = await create_nodes(store, agent("one"), agent("two"))
        (stored,) = await create_nodes(store, link(EdgeType.REFERENCES, first.id, second.id, why="because", empty=""))
        assert stored.properties == {"why": "because", "empty": ""}
        assert await store.get_edge(TENANT, stored.id) == stored


class QueryContract:
    async def test_newest_first_then_later_stored_first(self, store):
        opened, _ = await session_of_prompts(store, 0)
        stored = [(await create_nodes(store, prompt(opened.id, at=at)))[0] for at in (30, 10, 20, 20, 10)]
        condition = NodeFilter(session_id=opened.id, type=NodeType.PROMPT)
        page = await store.query(TENANT, condition, 10, 0)
        assert [stored.index(node) for node in page.nodes] == [0, 3, 2, 4, 1]
        assert [node async for node in store.scan(TENANT, condition)] == page.nodes

    async def test_a_session_is_not_among_its_own_nodes(self, store):
        opened, _ = await session_of_prompts(store, 2)
        for question, expected in ((None, 2), (NodeType.PROMPT, 2), (NodeType.SESSION, 0)):
            page = await store.query(TENANT, NodeFilter(session_id=opened.id, type=question), 10, 0)
            assert (len(page.nodes), page.total_count) == (expected, expected)
        everywhere = await store.query(TENANT, NodeFilter(type=NodeType.SESSION), 10, 0)
        assert [node.id for node in everywhere.nodes] == [opened.id]

    async def test_a_session_is_not_among_its_own_nodes_by_attribute_either(self, store):
        (opened,) = await create_nodes(store, session(topic="cats"))
        (question,) = await create_nodes(store, prompt(opened.id, topic="cats"))
        for name, expected in (("metadata.topic", []), ("custom.topic", [question])):
            condition = NodeFilter(session_id=opened.id, attributes=((name, "cats"),))
            page = await store.query(TENANT, condition, 10, 0)
            assert (page.nodes, page.total_count) == (expected, len(expected))

    async def test_pages_cut_the_same_order(self, store):
        opened, _ = await session_of_prompts(store, 7)
        condition = NodeFilter(session_id=opened.id)
        whole = await store.query(TENANT, condition, 100, 0)
        pages = [await store.query(TENANT, condition, 3, offset) for offset in (0, 3, 6, 9, 9_999)]
        assert [node for page in pages for node in page.nodes] == whole.nodes
        assert [page.total_count for page in pages] == [7] * 5
        assert [len(page.nodes) for page in pages] == [3, 3, 1, 0, 0]

    async def test_every_filter_selects_and_counts_what_it_says(self, store):
        opened, _ = await session_of_prompts(store, 0)
        first, second = await create_nodes(
            store,
            prompt(opened.id, "the quick brown fox", at=10, model="m1", topic="animals"),
            prompt(opened.id, "the lazy dog", at=20, model="m2", topic="animals"),
        )
        (answered,) = await create_nodes(store, response(second.id, "a quick answer", at=30))
        called, failed = await create_nodes(
            store, tool(answered.id, "search", at=40), tool(answered.id, "search", status="failed", at=50)
        )
        (helper,) = await create_nodes(store, agent("quick", at=60, team="docs"))
        session_id = opened.id
        for condition, expected in (
            (NodeFilter(session_id=session_id, type=NodeType.PROMPT), [second, first]),
            (NodeFilter(after=20, before=40), [called, answered, second]),
            (NodeFilter(session_id=session_id, after=20, before=40, type=NodeType.RESPONSE), [answered]),
            (NodeFilter(attributes=(("custom.topic", "animals"),)), [second, first]),
            (NodeFilter(attributes=(("custom.topic", "animals"), ("model", "m1"))), [first]),
            (NodeFilter(session_id=session_id, attributes=(("custom.topic", "animals"), ("model", "m1"))), [first]),
            (NodeFilter(attributes=(("tool_name", "search"),), before=45), [called]),
            (NodeFilter(attributes=(("status", "failed"),), type=NodeType.TOOL_INVOCATION), [failed]),
            (NodeFilter(attributes=(("status", "failed"),), type=NodeType.PROMPT), []),
            (NodeFilter(attributes=(("metadata.team", "docs"),)), [helper]),
            (NodeFilter(attributes=(("metadata.team", "doc"),)), []),
            (NodeFilter(text="quick"), [helper, answered, first]),
            (NodeFilter(text="quick THE"), [first]),
            (NodeFilter(text="quick", session_id=session_id), [answered, first]),
            (NodeFilter(text="quick", type=NodeType.RESPONSE, after=30), [answered]),
            (NodeFilter(text="quick", attributes=(("model", "m1"),)), [first]),
            (NodeFilter(text="absent"), []),
            (NodeFilter(session_id=new_id()), []),
            (NodeFilter(session_id=first.id), []),
        ):
            page = await store.query(TENANT, condition, 10, 0)
            assert (page.nodes, page.total_count) == (expected, len(expected)), condition
            assert [edge async for edge in store.scan(TENANT, condition)] == expected, condition

    @pytest.mark.parametrize(
        "text",
        ['"', 'fox" OR text:"', "text:fox", "fox*", "NEAR(the fox)", "fox OR dog", "^fox", "-fox", "(", "fox AND", "\0",
         "scope:t1", '" OR scope : "t1', "{scope text}: fox", "...", ""],
    )  # fmt: skip
    async def test_text_is_words_and_never_syntax(self, store, text):
        opened, _ = await session_of_prompts(store, 0)
        await create_nodes(store, prompt(opened.id, "the quick brown cat"))
        page = await store.query(TENANT, NodeFilter(text=text), 10, 0)
        assert (page.nodes, page.total_count) == ([], 0)

    async def test_words_are_found_whatever_their_punctuation_case_and_accents(self, store):
        opened, _ = await session_of_prompts(store, 0)
        (stored,) = await create_nodes(store, prompt(opened.id, "Café-Zürich: naïve, 東京 don't"))
        for text in ("café", "ZÜRICH!", "naive", "(naïve)", "東京", "don't", "cafe-zurich ..."):
            assert (await store.query(TENANT, NodeFilter(text=text), 10, 0)).nodes == [stored], text

    async def test_long_attribute_values_are_told_apart(self, store):
        first, second = await create_nodes(
            store, agent("a", note="x" * 5_000 + "1"), agent("b", note="x" * 5_000 + "2")
        )
        for stored, last in ((first, "1"), (second, "2")):
            condition = NodeFilter(attributes=(("metadata.note", "x" * 5_000 + last),))
            assert (await store.query(TENANT, condition, 10, 0)).nodes == [stored]

    async def test_scan_goes_through_many_pages(self, store):
        opened, _ = await session_of_prompts(store, 0)
        await create_nodes(store, *(prompt(opened.id, at=i // 700) for i in range(1_600)))
        for condition in (
            NodeFilter(session_id=opened.id, type=NodeType.PROMPT),
            NodeFilter(text="hello"),
            NodeFilter(type=NodeType.PROMPT),
        ):
            results = [node.id async for node in store.scan(TENANT, condition)]
            assert len(results) == len(set(results)) == 1_600
            assert results == [node.id for node in (await store.query(TENANT, condition, 10_000, 0)).nodes]


class TenantContract:
    async def test_tenants_see_nothing_of_each_other(self, store):
        opened, (question,) = await session_of_prompts(store, 1, model="m")
        (mine,) = await create_nodes(store, agent("mine"), tenant="other")
        assert await store.get_nodes("other", [question.id, mine.id]) == [mine]
        (link_id,) = [edge.id for edge in await store.get_edges(TENANT, question.id, Direction.BOTH, None)]
        assert await store.get_edge("other", link_id) is None
        with pytest.raises(NotFound):
            await store.get_edges("other", question.id, Direction.BOTH, None)
        for condition in (
            NodeFilter(session_id=opened.id),
            NodeFilter(text="prompt"),
            NodeFilter(attributes=(("model", "m"),)),
            NodeFilter(type=NodeType.PROMPT),
        ):
            page = await store.query("other", condition, 10, 0)
            assert (page.nodes, page.total_count) == ([], 0)
            assert [edge async for edge in store.scan("other", condition)] == []
        assert await store.stats("other") == Stats(nodes=1, edges=0, sessions=0, active_sessions=0)
        assert {event.subject_id for event in await store.changes("other", None, 100)} == {mine.id}
        for foreign in (
            prompt(opened.id),
            response(question.id),
            link(EdgeType.REFERENCES, mine.id, question.id),
            update(question, PromptData(session_id=opened.id, content="stolen")),
            delete(opened.id),
            unlink(link_id),
        ):
            with pytest.raises(NotFound):
                await store.apply(write(foreign, tenant="other"))

    async def test_one_id_can_be_used_by_two_tenants(self, store):
        (mine,) = await create_nodes(store, agent("mine"))
        (theirs,) = await create_nodes(store, agent("theirs", id=mine.id), tenant="other")
        await store.apply(write(delete(mine.id)))
        assert await store.get_nodes("other", [mine.id]) == [theirs]

    async def test_totals_are_the_sums_of_all_tenants(self, store):
        assert await store.totals() == Stats(nodes=0, edges=0, sessions=0, active_sessions=0)
        for tenant in ("one", "two", "three"):
            opened = session()
            await create_nodes(store, opened, prompt(opened.node.id), agent(), tenant=tenant)
        await store.apply(write(delete(opened.node.id), tenant="three"))
        expected = Stats(nodes=7, edges=2, sessions=2, active_sessions=2)
        assert await store.totals() == expected
        results = [await store.stats(tenant) for tenant in ("one", "two", "three")]
        assert sum(item.nodes for item in results) == expected.nodes
        assert sum(item.edges for item in results) == expected.edges

    async def test_a_tenant_that_never_wrote_has_an_empty_graph(self, store):
        assert await store.get_nodes("new", [new_id()]) == []
        assert await store.stats("new") == Stats(nodes=0, edges=0, sessions=0, active_sessions=0)
        assert await store.changes("new", None, 10) == []
