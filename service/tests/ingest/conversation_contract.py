"""Contract tests of conversations, for every store. The test module of a store brings the fixture `store`."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.samples import message
from ingest.talks import SESSION, Ingestion, graph_of, prompt, response, session
from memory_graph.ingest.telemetry.decode import from_message
from memory_graph.ingest.write_planner import derived_id, node_id
from memory_graph.model.ids import new_id
from memory_graph.model.kinds import Direction, EdgeType, NodeType
from memory_graph.model.mutations import CreateNode, Write
from memory_graph.model.nodes import Node, SessionData, TemplateData
from store.graphs import TENANT


def whole_talk(name: str, session_id: str):
    """The events of one session with one prompt."""
    return [
        session(f"{name}-start", "started", session_id),
        prompt(f"{name}-prompt", session_id),
        response(f"{name}-response", f"{name}-prompt"),
        from_message(message(f"{name}-call", metadata={"session_id": session_id})),
        session(f"{name}-end", "ended", session_id),
    ]


async def stored_node(store, event_id: str) -> Node:
    (node,) = await store.get_nodes(TENANT, [node_id(event_id)])
    return node


async def ends(store, event_id: str, direction: Direction) -> list[tuple[EdgeType, str]]:
    other = "to_id" if direction is Direction.OUTGOING else "from_id"
    edges = await store.get_edges(TENANT, node_id(event_id), direction, None)
    return sorted((edge.type, getattr(edge, other)) for edge in edges)


@pytest.fixture
async def ingestion(store):
    opened = Ingestion(store)
    yield opened
    await opened.pipeline.close()


class MappingContract:
    async def test_a_prompt_has_its_session_its_model_and_all_that_was_told(self, store, ingestion):
        assert await ingestion.send(prompt()) == [None]
        node = await stored_node(store, "p-1")
        assert (node.type, node.session_id) == (NodeType.PROMPT, SESSION)
        assert node.data.content == "Find me a train"
        metadata = node.data.metadata
        assert (metadata.model, metadata.temperature, metadata.max_tokens) == ("large", 0.5, 100)
        assert metadata.custom == {
            "team": "travel", "vip": "true", "user_id": "ann", "application_id": "app", "purpose": "chat",
            "provider": "acme", "model_version": "2", "template": "greeting",
            "template_parameters": '{"to":"Madrid"}', "images": '["https://images.example/1.png"]',
            "tags": '["a","b"]', "top_p": "0.9", "top_k": "40", "stop_sequences": '["END"]',
            "presence_penalty": "0.1", "frequency_penalty": "0.2",
            "conversation_history": '[{"role":"user","content":"Hi"}]',
            "documents": '[{"id":"d-1","content":"timetable","relevanceScore":0.8}]', "retrieval_method": "hybrid",
            "trace_id": "t-1", "span_id": "s-1", "parent_span_id": "s-0", "event_id": "p-1",
            "content_sha256": "5faceeaa367d2d2b5d334911ab635412e1808267c507da5b571c2653fafe36a7",
        }  # fmt: skip
        assert await ends(store, "p-1", Direction.OUTGOING) == [
            (EdgeType.BELONGS_TO, SESSION), (EdgeType.USES_MODEL, derived_id("model", "acme", "large"))]  # fmt: skip
        (opened,) = await store.get_nodes(TENANT, [SESSION])
        assert opened.data == SessionData(metadata={"user_id": "ann", "application_id": "app", "purpose": "chat"})

    async def test_prompts_of_a_session_follow_each_other_in_the_order_they_came(self, store, ingestion):
        await ingestion.send(response("r-2", "p-2"), prompt("p-1"), prompt("p-2"))
        await ingestion.send(prompt("p-3"))
        assert (EdgeType.FOLLOWS, node_id("p-1")) in await ends(store, "p-2", Direction.OUTGOING)
        assert (EdgeType.FOLLOWS, node_id("p-2")) in await ends(store, "p-3", Direction.OUTGOING)

    async def test_a_session_known_by_another_name(self, store, ingestion):
        await ingestion.send(prompt("p-1", "chat 7"), session("s-1", "started", "chat 7"))
        node = await stored_node(store, "p-1")
        assert node.session_id == derived_id("session", "chat 7")
        (opened,) = await store.get_nodes(TENANT, [node.session_id])
        assert opened.data.metadata["session_id"] == "chat 7"
        assert opened.data.metadata["channel"] == "web"

    async def test_a_prompt_of_a_known_template_is_an_instance_and_counted_once(self, store, ingestion):
        template = new_id()
        data = TemplateData(name="t", template_text="x")
        node = Node(id=template, type=NodeType.TEMPLATE, data=data, created_at=1, updated_at=1)
        await store.apply(Write(tenant=TENANT, mutations=(CreateNode(node=node),)))
        event = prompt("p-1", prompt={"text": "x", "template": template})
        for _ in range(2):
            await ingestion.send(event, event)
        assert (EdgeType.INSTANTIATES, template) in await ends(store, "p-1", Direction.OUTGOING)
        (counted,) = await store.get_nodes(TENANT, [template])
        assert counted.data.usage_count == 1

    async def test_a_response_has_its_prompt_its_numbers_and_its_tools(self, store, ingestion):
        await ingestion.send(prompt(), response())
        node = await stored_node(store, "r-1")
        assert (node.type, node.session_id) == (NodeType.RESPONSE, SESSION)
        assert (node.data.prompt_id, node.data.content) == (node_id("p-1"), "There are two.")
        usage, metadata = node.data.token_usage, node.data.metadata
        assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (10, 5, 15)
        assert (metadata.model, metadata.finish_reason, metadata.latency_ms) == ("large", "stop", 813)
        custom = dict(metadata.custom)
        assert len(custom.pop("content_sha256")) == 64
        assert custom == {
            "ttft_ms": "90.0", "throughput": "33.5", "cost": "0.0042", "error_code": "429", "trace_id": "t-1",
            "error_message": "slow down", "error_type": "rate_limit", "error_recoverable": "true",
            "tags": '{"env":"test"}', "event_id": "r-1",
        }  # fmt: skip
        tools = [derived_id("tool_call", node.id, str(index)) for index in range(4)]
        assert await ends(store, "r-1", Direction.OUTGOING) == sorted(
            [(EdgeType.RESPONDS_TO, node_id("p-1")), *((EdgeType.INVOKES, tool) for tool in tools)]
        )
        tool_data = [node.data for node in await store.get_nodes(TENANT, tools)]
        assert [(tool.tool_name, tool.parameters, tool.status, tool.result, tool.error) for tool in tool_data] == [
            ("legacy", '{"a": 1}', "requested", None, None),
            ("search", '"{not json"', "requested", None, None),
            ("book", '{"train":7}', "success", '{"seat":"4A"}', None),
            ("pay", "", "error", None, "declined"),
        ]
        assert (tool_data[1].metadata, tool_data[2].duration_ms, tool_data[3].retry_count) == (
            {"call_id": "c-1"},
            12,
            2,
        )

    async def test_a_response_without_text_says_what_the_model_asked_for(self, store, ingestion):
        tool_calls = {"toolCalls": [{"name": "search"}]}
        failed = {"finishReason": "error"}
        await ingestion.send(
            prompt(), response("r-1", response=tool_calls, error=None), response("r-2", response=failed))  # fmt: skip
        assert (await stored_node(store, "r-1")).data.content == '[{"name":"search"}]'
        assert (await stored_node(store, "r-2")).data.content == "slow down"

    async def test_what_two_processes_tell_of_a_session_at_once_is_all_in_it(self, store, ingestion):
        await ingestion.send(session("s-0"))
        other = Ingestion(store)
        metadata = {f"key-{number}": "told" for number in range(20)}
        events = [session(f"s-{key}", metadata={key: "told"}) for key in metadata]
        sending = [(ingestion, other)[number % 2].send(event) for number, event in enumerate(events)]
        assert await asyncio.gather(*sending) == [[None]] * len(metadata)
        (opened,) = await store.get_nodes(TENANT, [SESSION])
        assert metadata.items() <= opened.data.metadata.items()
        assert opened.data.metadata["channel"] == "web"
        await other.pipeline.close()

    async def test_an_id_that_is_taken_is_refused_alone(self, store, ingestion):
        await ingestion.send(prompt("p-1"), prompt("p-2"))
        outcomes = await ingestion.send(response("p-1", "p-2"), prompt("p-3"), session("x", session=node_id("p-1")))
        assert [outcome is None for outcome in outcomes] == [False, True, False]
        assert [rejected.event_type for rejected in ingestion.rejected] == ["llm.response", "llm.session.started"]


TALKS = [*whole_talk("one", "chat 1"), *whole_talk("two", "0198f3a2-0000-7bd1-9f0e-3b8f2f1c5a77")]
ORDERS = st.lists(st.sampled_from(TALKS), max_size=5).flatmap(lambda again: st.permutations([*TALKS, *again]))


any_order = given(events=ORDERS, sizes=st.lists(st.integers(1, 5), min_size=16, max_size=16), at_once=st.booleans())


def examples(number: int) -> settings:
    """A graph that is made from scratch counts: there are few of them, in a tenant each."""
    return settings(max_examples=number, suppress_health_check=[HealthCheck.function_scoped_fixture])


async def check_order(store, ingestion, events, sizes, at_once) -> None:
    """Order, batches and repeats make no difference."""
    tenant, batches = new_id(), []
    for size in sizes:
        batches.append(events[:size])
        events = events[size:]
    sent = [ingestion.send(*batch, tenant=tenant) for batch in batches if batch]
    if at_once:
        await asyncio.gather(*sent)
    else:
        for sending in sent:
            await sending
    await ingestion.send(*TALKS, tenant="as it was")
    expected, actual = await graph_of(store, "as it was"), await graph_of(store, tenant)
    assert actual[0] == expected[0]
    assert actual[1] == expected[1]
    assert actual[2] == expected[2]
    assert not ingestion.rejected
