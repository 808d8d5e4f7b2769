"""Contract tests of responses that wait for their prompts, for every store."""

from __future__ import annotations

from msgspec.structs import replace

from ingest.conversation_contract import ends, stored_node
from ingest.talks import SESSION, Ingestion, prompt, response
from memory_graph.ingest.conversations.mapping import is_waiting, waiting_id
from memory_graph.ingest.conversations.pending_responses import PendingLimits
from memory_graph.ingest.planning import plan_write
from memory_graph.ingest.telemetry.mapping import event_of
from memory_graph.ingest.topics import RESPONSES, topic_of
from memory_graph.ingest.write_planner import node_id
from memory_graph.model.ids import new_id
from memory_graph.model.kinds import Direction, EdgeType, NodeType
from memory_graph.model.mutations import DeleteNode, UpdateNode, Write
from memory_graph.model.nodes import is_stub
from store.graphs import TENANT


class PendingContract:
    async def test_a_response_waits_in_the_store_and_a_restart_loses_nothing(self, store, ingestion):
        assert await ingestion.send(response()) == [None]
        assert await ingestion.send(response()) == [None]
        assert is_stub(await stored_node(store, "p-1"))
        (held,) = await store.get_nodes(TENANT, [waiting_id("r-1")])
        assert is_waiting(held)
        assert ingestion.counted("llm_memory_graph_responses_waiting") == 1
        assert ingestion.counted(
            "llm_memory_graph_events_processed_total", event_type="llm.response", status="waiting") == 1  # fmt: skip
        await ingestion.pipeline.close()
        again = Ingestion(store)
        assert await again.send(prompt()) == [None]
        assert (await stored_node(store, "r-1")).session_id == SESSION
        assert await store.get_nodes(TENANT, [waiting_id("r-1")]) == []
        assert (EdgeType.RESPONDS_TO, node_id("r-1")) in await ends(store, "p-1", Direction.INCOMING)
        await again.pipeline.close()

    async def test_a_join_that_was_broken_off_is_done_when_the_prompt_is_told_again(self, store, ingestion):
        await ingestion.send(response("r-1"))
        planned = plan_write([prompt()], new_id)  # what a process that is killed before the join leaves behind
        await store.apply(Write(tenant=TENANT, mutations=planned.creations))
        assert (await stored_node(store, "p-1")).type is NodeType.PROMPT
        assert await store.get_nodes(TENANT, [node_id("r-1")]) == []
        assert await ingestion.send(prompt()) == [None]
        assert (await stored_node(store, "r-1")).type is NodeType.RESPONSE
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
        assert (await stored_node(store, "r-1")).session_id == SESSION
        assert await store.get_nodes(TENANT, [waiting_id("r-1")]) == []
        await blind.pipeline.close()

    async def test_and_else_when_it_has_waited_too_long(self, store):
        brief = Ingestion(store, PendingLimits(max_age_s=0))
        await brief.send(response("r-1"))
        await store.apply(Write(tenant=TENANT, mutations=plan_write([prompt()], new_id).creations))
        await brief.pipeline.sweep(TENANT)
        assert brief.expired == []
        assert (await stored_node(store, "r-1")).session_id == SESSION
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
        assert sorted((tenant, expired.event_id, expired.reason) for tenant, expired in brief.expired) == [
            (TENANT, "r-1", "expired"), (TENANT, "r-2", "expired")]  # fmt: skip
        assert topic_of(brief.expired[0][1].event_type) == RESPONSES
        assert await store.get_nodes(TENANT, [waiting_id("r-1"), waiting_id("r-2")]) == []
        assert brief.counted("llm_memory_graph_responses_waiting") == 0
        await brief.pipeline.close()

    async def test_the_young_are_left_waiting(self, store, ingestion):
        await ingestion.send(response("r-1"))
        await ingestion.pipeline.sweep(TENANT)
        assert len(await store.get_nodes(TENANT, [waiting_id("r-1")])) == 1
        assert ingestion.expired == []

    async def test_a_response_whose_prompt_was_deleted_stays_what_it_is(self, store, ingestion):
        await ingestion.send(prompt(), response())
        deletion = DeleteNode(node_id=node_id("p-1"), at=2, relink_edge_id=new_id())
        await store.apply(Write(tenant=TENANT, mutations=(deletion,)))
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
        ((_, expired),) = brief.expired
        assert (expired.reason, expired.body) == ("invalid", b"{}")
        assert await store.get_nodes(TENANT, [waiting_id("r-1")]) == []
        await brief.pipeline.close()
