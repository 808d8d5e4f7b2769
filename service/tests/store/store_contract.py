"""The store contract: what every `GraphStore` does, told by tests. A store's own module derives from the classes here
and in the other *_contract modules, and gives a `store` fixture (live subscriptions of it hold 100 events) and a
`clock` fixture, the recorded time its store reads, in nanoseconds."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from memory_graph.model.errors import AlreadyExists, Invalid, NotFound, SessionClosed
from memory_graph.model.ids import new_id
from memory_graph.model.kinds import EdgeType, NodeType
from memory_graph.model.mutations import CreateNode
from memory_graph.model.nodes import AgentData, SessionData, TemplateData
from memory_graph.model.queries import NodeFilter, Stats
from store.chains import chain
from store.graphs import (
    TENANT,
    agent,
    delete,
    edge,
    link,
    node,
    prompt,
    response,
    session,
    template,
    tool,
    unlink,
    update,
    write,
)


class StoreClock:
    """A recorded time that tests set."""

    def __init__(self, now: int = 1_000_000) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


async def create_nodes(store, *creations, tenant: str = TENANT):
    """Applies creations in one write and yields their nodes as stored."""
    return (await store.apply(write(*creations, tenant=tenant))).results


async def session_of_prompts(store, count: int, **rest):
    """A session and its prompts, as stored."""
    opened = session()
    (stored,) = await create_nodes(store, opened)
    prompts = [(await create_nodes(store, prompt(stored.id, f"prompt {i}", **rest)))[0] for i in range(count)]
    return stored, prompts


class CreateContract:
    async def test_a_created_node_is_read_back_as_it_was_answered(self, store):
        (stored,) = await create_nodes(store, agent("writer", team="docs"))
        assert stored.data == AgentData(name="writer", metadata={"team": "docs"})
        assert stored.recorded_at > 0
        assert await store.get_nodes(TENANT, [stored.id]) == [stored]

    async def test_nodes_come_in_the_order_asked_for_and_unknown_ones_are_left_out(self, store):
        first, second = await create_nodes(store, agent("one"), agent("two"))
        assert await store.get_nodes(TENANT, [second.id, new_id(), first.id, second.id]) == [second, first, second]

    async def test_a_session_is_a_node_of_its_own_session(self, store):
        (stored,) = await create_nodes(store, session(team="docs"))
        assert stored.session_id == stored.id
        assert await store.get_nodes(TENANT, [stored.id]) == [stored]
        other = await create_nodes(store, agent())
        edges = await create_nodes(store, link(EdgeType.REFERENCES, other[0].id, stored.id))
        assert await store.get_edge(TENANT, edges[0].id) == edges[0]

    async def test_a_response_and_a_tool_call_belong_to_the_session_of_their_parent(self, store):
        opened, (question,) = await session_of_prompts(store, 1)
        (answered,) = await create_nodes(store, response(question.id))
        (called,) = await create_nodes(store, tool(answered.id))
        assert answered.session_id == called.session_id == opened.id

    async def test_parent_and_child_can_come_in_one_write(self, store):
        opened = session()
        question = prompt(opened.node.id)
        answered = response(question.node.id)
        await create_nodes(store, opened, question, answered, tool(answered.node.id))
        assert (await store.query(TENANT, NodeFilter(session_id=opened.node.id), 10, 0)).total_count == 3

    @pytest.mark.parametrize(
        "orphan",
        [prompt, response, tool],
    )
    async def test_an_unknown_parent_is_not_found(self, store, orphan):
        missing = new_id()
        with pytest.raises(NotFound, match=missing):
            await store.apply(write(orphan(missing)))
        assert await store.stats(TENANT) == Stats(nodes=0, edges=0, sessions=0, active_sessions=0)

    async def test_a_parent_of_the_wrong_type_is_not_found(self, store):
        opened, (question,) = await session_of_prompts(store, 1)
        for orphan in (response(opened.id), tool(question.id), prompt(question.id)):
            with pytest.raises(NotFound):
                await store.apply(write(orphan))

    async def test_a_closed_session_takes_no_more_nodes_until_it_is_opened_again(self, store):
        opened, (question,) = await session_of_prompts(store, 1)
        await store.apply(write(update(opened, SessionData(is_active=False))))
        for late in (prompt(opened.id), response(question.id)):
            with pytest.raises(SessionClosed):
                await store.apply(write(late))
        await store.apply(write(update(opened, SessionData(is_active=True))))
        await create_nodes(store, prompt(opened.id))

    async def test_repeating_a_create_changes_nothing_and_yields_what_is_stored(self, store):
        opened, _ = await session_of_prompts(store, 1)
        question = prompt(opened.id, "once", at=7)
        (first,) = await create_nodes(store, question)
        before = await store.stats(TENANT)
        again = await store.apply(write(replace(question, node=replace(question.node, created_at=9))))
        assert again.results == (first,)
        assert (again.created, again.events) == (0, ())
        assert await store.stats(TENANT) == before

    async def test_repeating_a_create_works_in_a_session_closed_since(self, store):
        opened, _ = await session_of_prompts(store, 0)
        question = prompt(opened.id)
        (first,) = await create_nodes(store, question)
        await store.apply(write(update(opened, SessionData(is_active=False))))
        assert await create_nodes(store, question) == (first,)

    async def test_repeating_the_create_of_a_session_closed_since_changes_nothing(self, store):
        (opened,) = await create_nodes(store, session(user="me"))
        await store.apply(write(update(opened, SessionData(metadata={"user": "me"}, is_active=False))))
        (again,) = await create_nodes(store, session(id=opened.id, user="me"))
        assert not again.data.is_active
        with pytest.raises(AlreadyExists):
            await store.apply(write(session(id=opened.id, user="you")))

    async def test_the_same_create_twice_in_one_write_is_one_node(self, store):
        create = agent()
        applied = await store.apply(write(create, create))
        assert applied.created == 1
        assert applied.results[0] == applied.results[1]

    async def test_a_taken_id_with_other_content_already_exists(self, store):
        (stored,) = await create_nodes(store, agent("one"))
        with pytest.raises(AlreadyExists, match=stored.id):
            await store.apply(write(agent("two", id=stored.id)))
        with pytest.raises(AlreadyExists):
            await store.apply(write(session(id=stored.id)))
        assert await store.get_nodes(TENANT, [stored.id]) == [stored]

    async def test_repeating_an_edge_follows_the_same_rule(self, store):
        first, second = await create_nodes(store, agent("one"), agent("two"))
        create = link(EdgeType.TRANSFERS_TO, first.id, second.id, why="load")
        (first,) = await create_nodes(store, create)
        assert (await store.apply(write(create))).results == (first,)
        assert (await store.stats(TENANT)).edges == 1
        with pytest.raises(AlreadyExists):
            await store.apply(write(link(EdgeType.TRANSFERS_TO, second.id, first.id, id=first.id)))

    async def test_an_edge_to_nowhere_is_not_found(self, store):
        (first,) = await create_nodes(store, agent())
        for source, target in ((first.id, new_id()), (new_id(), first.id)):
            with pytest.raises(NotFound):
                await store.apply(write(link(EdgeType.REFERENCES, source, target)))
        opened = session()
        stray = prompt(opened.node.id)
        stray = replace(stray, edges=(*stray.edges, edge(EdgeType.HANDLED_BY, stray.node.id, new_id())))
        with pytest.raises(NotFound):
            await store.apply(write(opened, stray))
        assert (await store.stats(TENANT)).nodes == 1

    async def test_only_what_was_asked_for_counts_as_created(self, store):
        opened = session()
        applied = await store.apply(write(opened, prompt(opened.node.id), prompt(opened.node.id)))
        assert applied.created == 3

    async def test_a_deleted_id_can_be_created_again(self, store):
        (first,) = await create_nodes(store, agent("one"))
        await store.apply(write(delete(first.id)))
        (second,) = await create_nodes(store, agent("two", id=first.id))
        assert await store.get_nodes(TENANT, [first.id]) == [second]

    async def test_usage_count_is_the_stores(self, store):
        opened, _ = await session_of_prompts(store, 0)
        (form,) = await create_nodes(
            store, CreateNode(node=node(NodeType.TEMPLATE, TemplateData(name="t", template_text="x", usage_count=9)))
        )
        assert form.data.usage_count == 0
        uses = [replace(prompt(opened.id), counts_use_of=form.id) for _ in range(3)]
        await store.apply(write(*uses))
        (used,) = await store.get_nodes(TENANT, [form.id])
        assert used.data.usage_count == 3
        updated = await store.apply(write(update(form, TemplateData(name="t", template_text="y", usage_count=70))))
        assert updated.results[0].data == TemplateData(name="t", template_text="y", usage_count=3)
        assert await store.get_nodes(TENANT, [form.id]) == list(updated.results)

    async def test_a_repeated_create_of_a_used_template_is_still_the_same(self, store):
        opened, _ = await session_of_prompts(store, 0)
        form = template()
        await create_nodes(store, form, replace(prompt(opened.id), counts_use_of=form.node.id))
        assert (await store.apply(write(form))).results[0].data.usage_count == 1

    async def test_an_unknown_template_is_not_found(self, store):
        opened, (question,) = await session_of_prompts(store, 1)
        for missing in (new_id(), question.id):
            with pytest.raises(NotFound):
                await store.apply(write(replace(prompt(opened.id), counts_use_of=missing)))

    async def test_a_time_out_of_range_is_invalid_and_a_bound_out_of_range_is_no_bound(self, store):
        (first,) = await create_nodes(store, agent())
        for mutation in (
            agent(at=2**63),
            link(EdgeType.REFERENCES, first.id, first.id, at=-(2**63) - 1),
            update(first, first.data, at=2**70),
            delete(first.id, at=2**70),
        ):
            with pytest.raises(Invalid, match="out of range"):
                await store.apply(write(mutation))
        condition = NodeFilter(after=-(2**70), before=2**70)
        assert (await store.query(TENANT, condition, 10, 0)).nodes == [first]


class AtomicContract:
    async def test_a_refused_write_leaves_nothing_behind(self, store):
        opened, (question,) = await session_of_prompts(store, 1)
        form = (await create_nodes(store, template()))[0]
        before = await store.stats(TENANT)
        half = (
            session(),
            prompt(opened.id, "half"),
            replace(prompt(opened.id), counts_use_of=form.id),
            delete(question.id),
            update(opened, SessionData(is_active=False)),
            unlink(new_id()),
        )
        for mutations in (half, (*half[:3], response(new_id()))):
            with pytest.raises(NotFound):
                await store.apply(write(*mutations))
            assert await store.stats(TENANT) == before
            assert (await store.query(TENANT, NodeFilter(text="half"), 10, 0)).total_count == 0
            assert await chain(store, opened.id) == [question.id]
            assert await store.get_nodes(TENANT, [form.id]) == [form]
        await create_nodes(store, prompt(opened.id))
        assert len(await chain(store, opened.id)) == 2

    async def test_concurrent_writes_are_committed_or_refused_each_by_itself(self, store):
        opened, _ = await session_of_prompts(store, 0)
        good = [prompt(opened.id, f"good {i}") for i in range(40)]
        writes = [write(create) for create in good]
        writes[10:10] = [write(agent(), prompt(opened.id), response(new_id()))]
        writes[20:20] = [write(prompt(opened.id), unlink(new_id()))]
        outcomes = await asyncio.gather(*map(store.apply, writes), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes if isinstance(outcome, Exception)] == [NotFound, NotFound]
        assert await store.stats(TENANT) == Stats(nodes=41, edges=79, sessions=1, active_sessions=1)
        assert len(await chain(store, opened.id)) == 40

    async def test_what_is_answered_is_read_at_once(self, store):
        opened, _ = await session_of_prompts(store, 0)

        async def write_then_read() -> None:
            (stored,) = await create_nodes(store, prompt(opened.id))
            assert await store.get_nodes(TENANT, [stored.id]) == [stored]

        await asyncio.gather(*(write_then_read() for _ in range(30)))
