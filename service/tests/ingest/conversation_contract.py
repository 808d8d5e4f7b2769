"""Conversations in a store: the same for every store. A test module of each brings the fixture `store`."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ingest.samples import message
from ingest.talks import SESSION, Ingestion, graph_of, prompt, response, session
from memory_graph.ingest.conversations.mapping import is_waiting, waiting_id
from memory_graph.ingest.conversations.pending_responses import PendingLimits
from memory_graph.ingest.planning import plan_write
from memory_graph.ingest.telemetry.decode import from_message
from memory_graph.ingest.telemetry.mapping import event_of
from memory_graph.ingest.topics import RESPONSES, topic_of
from memory_graph.ingest.write_planner import derived_id, node_id
from memory_graph.model.ids import new_id
from memory_graph.model.kinds import Direction, EdgeType, NodeType
from memory_graph.model.mutations import CreateNode, DeleteNode, UpdateNode, Write
from memory_graph.model.nodes import Node, SessionData, TemplateData, is_stub
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


async def one(store, event_id: str) -> Node:
    (found,) = await store.get_nodes(TENANT, [node_id(event_id)])
    return found


async def ends(store, event_id: str, direction: Direction) -> list[tuple[EdgeType, str]]:
    other = "to_id" if direction is Direction.OUTGOING else "from_id"
    found = await store.get_edges(TENANT, node_id(event_id), direction, None)
    return sorted((edge.type, getattr(edge, other)) for edge in found)


@pytest.fixture
async def ingestion(store):
    made = Ingestion(store)
    yield made
    await made.pipeline.close()


class MappingContract:
    async def test_a_prompt_has_its_session_its_model_and_all_that_was_told(self, store, ingestion):
        assert await ingestion.send(prompt()) == [None]
        made = await one(store, "p-1")
        assert (made.type, made.session_id) == (NodeType.PROMPT, SESSION)
        assert made.data.content == "Find me a train"
        metadata = made.data.metadata
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
        made = await one(store, "p-1")
        assert made.session_id == derived_id("session", "chat 7")
        (opened,) = await store.get_nodes(TENANT, [made.session_id])
        assert opened.data.metadata["session_id"] == "chat 7"
        assert opened.data.metadata["channel"] == "web"

    async def test_a_prompt_of_a_known_template_is_an_instance_and_counted_once(self, store, ingestion):
        template = new_id()
        data = TemplateData(name="t", template_text="x")
        made = Node(id=template, type=NodeType.TEMPLATE, data=data, created_at=1, updated_at=1)
        await store.apply(Write(tenant=TENANT, mutations=(CreateNode(node=made),)))
        event = prompt("p-1", prompt={"text": "x", "template": template})
        for _ in range(2):
            await ingestion.send(event, event)
        assert (EdgeType.INSTANTIATES, template) in await ends(store, "p-1", Direction.OUTGOING)
        (counted,) = await store.get_nodes(TENANT, [template])
        assert counted.data.usage_count == 1

    async def test_a_response_has_its_prompt_its_numbers_and_its_tools(self, store, ingestion):
        await ingestion.send(prompt(), response())
        made = await one(store, "r-1")
        assert (made.type, made.session_id) == (NodeType.RESPONSE, SESSION)
        assert (made.data.prompt_id, made.data.content) == (node_id("p-1"), "There are two.")
        usage, metadata = made.data.token_usage, made.data.metadata
        assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (10, 5, 15)
        assert (metadata.model, metadata.finish_reason, metadata.latency_ms) == ("large", "stop", 813)
        told = dict(metadata.custom)
        assert len(told.pop("content_sha256")) == 64
        assert told == {
            "ttft_ms": "90.0", "throughput": "33.5", "cost": "0.0042", "error_code": "429", "trace_id": "t-1",
            "error_message": "slow down", "error_type": "rate_limit", "error_recoverable": "true",
            "tags": '{"env":"test"}', "event_id": "r-1",
        }  # fmt: skip
        tools = [derived_id("tool_call", made.id, str(index)) for index in range(4)]
        assert await ends(store, "r-1", Direction.OUTGOING) == sorted(
            [(EdgeType.RESPONDS_TO, node_id("p-1")), *((EdgeType.INVOKES, tool) for tool in tools)]
        )
        found = [node.data for node in await store.get_nodes(TENANT, tools)]
        assert [(tool.tool_name, tool.parameters, tool.status, tool.result, tool.error) for tool in found] == [
            ("legacy", '{"a": 1}', "requested", None, None),
            ("search", '"{not json"', "requested", None, None),
            ("book", '{"train":7}', "success", '{"seat":"4A"}', None),
            ("pay", "", "error", None, "declined"),
        ]
        assert (found[1].metadata, found[2].duration_ms, found[3].retry_count) == ({"call_id": "c-1"}, 12, 2)

    async def test_a_response_without_text_says_what_the_model_asked_for(self, store, ingestion):
        asked = {"toolCalls": [{"name": "search"}]}
        failed = {"finishReason": "error"}
        await ingestion.send(
            prompt(), response("r-1", response=asked, error=None), response("r-2", response=failed))  # fmt: skip
        assert (await one(store, "r-1")).data.content == '[{"name":"search"}]'
        assert (await one(store, "r-2")).data.content == "slow down"

    async def test_what_two_processes_tell_of_a_session_at_once_is_all_in_it(self, store, ingestion):
        await ingestion.send(session("s-0"))
        other = Ingestion(store)
        told = {f"key-{number}": "told" for number in range(20)}
        events = [session(f"s-{key}", metadata={key: "told"}) for key in told]
        sending = [(ingestion, other)[number % 2].send(event) for number, event in enumerate(events)]
        assert await asyncio.gather(*sending) == [[None]] * len(told)
        (opened,) = await store.get_nodes(TENANT, [SESSION])
        assert told.items() <= opened.data.metadata.items()
        assert opened.data.metadata["channel"] == "web"
        await other.pipeline.close()

    async def test_an_id_that_is_taken_is_refused_alone(self, store, ingestion):
        await ingestion.send(prompt("p-1"), prompt("p-2"))
        outcomes = await ingestion.send(response("p-1", "p-2"), prompt("p-3"), session("x", session=node_id("p-1")))
        assert [outcome is None for outcome in outcomes] == [False, True, False]
        assert [letter.event_type for letter in ingestion.dead] == ["llm.response", "llm.session.started"]


TALKS = [*whole_talk("one", "chat 1"), *whole_talk("two", "0198f3a2-0000-7bd1-9f0e-3b8f2f1c5a77")]
ORDERS = st.lists(st.sampled_from(TALKS), max_size=5).flatmap(lambda again: st.permutations([*TALKS, *again]))


any_order = given(told=ORDERS, sizes=st.lists(st.integers(1, 5), min_size=16, max_size=16), at_once=st.booleans())


def examples(number: int) -> settings:
    """A graph that is made from scratch counts: there are few of them, in a tenant each."""
    return settings(max_examples=number, suppress_health_check=[HealthCheck.function_scoped_fixture])


async def check_order(store, ingestion, told, sizes, at_once) -> None:
    """Order, batches and repeats make no difference."""
    tenant, writes = new_id(), []
    for size in sizes:
        writes.append(told[:size])
        told = told[size:]
    sent = [ingestion.send(*events, tenant=tenant) for events in writes if events]
    if at_once:
        await asyncio.gather(*sent)
    else:
        for sending in sent:
            await sending
    await ingestion.send(*TALKS, tenant="as it was")
    expected, found = await graph_of(store, "as it was"), await graph_of(store, tenant)
    assert found[0] == expected[0]
    assert found[1] == expected[1]
    assert found[2] == expected[2]
    assert not ingestion.dead


class WaitingContract:
    async def test_a_response_waits_in_the_store_and_a_restart_loses_nothing(self, store, ingestion):
        assert await ingestion.send(response()) == [None]
        assert await ingestion.send(response()) == [None]
        assert is_stub(await one(store, "p-1"))
        (held,) = await store.get_nodes(TENANT, [waiting_id("r-1")])
        assert is_waiting(held)
        assert ingestion.counted("llm_memory_graph_responses_waiting") == 1
        assert ingestion.counted(
            "llm_memory_graph_events_processed_total", event_type="llm.response", status="waiting") == 1  # fmt: skip
        await ingestion.pipeline.close()
        again = Ingestion(store)
        assert await again.send(prompt()) == [None]
        assert (await one(store, "r-1")).session_id == SESSION
        assert await store.get_nodes(TENANT, [waiting_id("r-1")]) == []
        assert (EdgeType.RESPONDS_TO, node_id("r-1")) in await ends(store, "p-1", Direction.INCOMING)
        await again.pipeline.close()

    async def test_a_join_that_was_broken_off_is_done_when_the_prompt_is_told_again(self, store, ingestion):
        await ingestion.send(response("r-1"))
        planned = plan_write([prompt()], new_id)  # what a process that is killed before the join leaves behind
        await store.apply(Write(tenant=TENANT, mutations=planned.creations))
        assert (await one(store, "p-1")).type is NodeType.PROMPT
        assert await store.get_nodes(TENANT, [node_id("r-1")]) == []
        assert await ingestion.send(prompt()) == [None]
        assert (await one(store, "r-1")).type is NodeType.RESPONSE
        assert await store.get_nodes(TENANT, [waiting_id("r-1")]) == []

    async def test_a_prompt_that_comes_between_the_look_and_the_write_is_joined_at_once(self, store):
        class Blind:
            """Sees nothing the first time it looks."""

            looks = 0

            async def get_nodes(self, tenant, ids):
                self.looks += 1
                return [] if self.looks <= 2 else await store.get_nodes(tenant, ids)

            def __getattr__(self, name):
                return getattr(store, name)

        await store.apply(Write(tenant=TENANT, mutations=plan_write([prompt()], new_id).creations))
        blind = Ingestion(Blind())
        assert await blind.send(response("r-1")) == [None]
        assert (await one(store, "r-1")).session_id == SESSION
        assert await store.get_nodes(TENANT, [waiting_id("r-1")]) == []
        await blind.pipeline.close()

    async def test_and_else_when_it_has_waited_too_long(self, store):
        brief = Ingestion(store, PendingLimits(max_age_s=0))
        await brief.send(response("r-1"))
        await store.apply(Write(tenant=TENANT, mutations=plan_write([prompt()], new_id).creations))
        await brief.pipeline.sweep(TENANT)
        assert brief.lost == []
        assert (await one(store, "r-1")).session_id == SESSION
        assert await store.get_nodes(TENANT, [waiting_id("r-1")]) == []
        await brief.pipeline.close()

    async def test_more_than_may_wait_are_refused_with_a_reason_and_the_others_wait(self, store):
        bounded = Ingestion(store, PendingLimits(max_count=2))
        outcomes = await bounded.send(response("r-1"), response("r-2"), response("r-3"))
        assert [outcome and outcome.reason for outcome in outcomes] == [None, None, "waiting_full"]
        assert await bounded.send(response("r-1")) == [None]
        assert [(await bounded.send(response("r-3")))[0].reason] == ["waiting_full"]
        await bounded.send(prompt())
        assert await bounded.send(response("r-3")) == [None]
        assert await bounded.send(response("r-4", "p-9")) == [None]
        await bounded.pipeline.close()

    async def test_what_has_waited_too_long_is_given_up_with_its_body_and_leaves_the_graph(self, store):
        brief = Ingestion(store, PendingLimits(max_age_s=0))
        await brief.send(response("r-1"), response("r-2", "p-2"))
        await brief.pipeline.sweep(TENANT)
        assert sorted((tenant, lost.event_id, lost.reason) for tenant, lost in brief.lost) == [
            (TENANT, "r-1", "expired"), (TENANT, "r-2", "expired")]  # fmt: skip
        assert topic_of(brief.lost[0][1].event_type) == RESPONSES
        assert await store.get_nodes(TENANT, [waiting_id("r-1"), waiting_id("r-2")]) == []
        assert brief.counted("llm_memory_graph_responses_waiting") == 0
        await brief.pipeline.close()

    async def test_the_young_are_left_waiting(self, store, ingestion):
        await ingestion.send(response("r-1"))
        await ingestion.pipeline.sweep(TENANT)
        assert len(await store.get_nodes(TENANT, [waiting_id("r-1")])) == 1
        assert ingestion.lost == []

    async def test_a_response_whose_prompt_was_deleted_stays_what_it_is(self, store, ingestion):
        await ingestion.send(prompt(), response())
        gone = DeleteNode(node_id=node_id("p-1"), at=2, relink_edge_id=new_id())
        await store.apply(Write(tenant=TENANT, mutations=(gone,)))
        assert await ingestion.send(response()) == [None]
        assert await store.get_nodes(TENANT, [waiting_id("r-1")]) == []

    async def test_it_is_no_telemetry_event(self, store, ingestion):
        await ingestion.send(response())
        (held,) = await store.get_nodes(TENANT, [waiting_id("r-1")])
        assert event_of(held) is None

    async def test_what_can_no_longer_be_read_expires_with_its_body(self, store):
        brief = Ingestion(store, PendingLimits(max_age_s=0))
        await brief.send(response("r-1"))
        (held,) = await store.get_nodes(TENANT, [waiting_id("r-1")])
        broken = replace(held, data=replace(held.data, metadata={"event": "{}"}), updated_at=held.updated_at + 1)
        await store.apply(Write(tenant=TENANT, mutations=(UpdateNode(node=broken),)))
        assert await brief.send(prompt()) == [None]
        await brief.pipeline.sweep(TENANT)
        ((_, lost),) = brief.lost
        assert (lost.reason, lost.body) == ("invalid", b"{}")
        assert await store.get_nodes(TENANT, [waiting_id("r-1")]) == []
        await brief.pipeline.close()
