"""The service over Neo4j instead of its own file: what it answers on the wire is the same.

A choice of the tests of every rpc runs again here, on a server with STORE=neo4j; the semantics of the store have a
contract suite of their own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty

from api import test_feed, test_node_changes, test_nodes, test_query, test_smoke_test
from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb
from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2_grpc as rpc
from support.neo4j_server import PASSWORD, wipe
from support.processes import free_port
from support.refusals import refused
from support.server import Serve, ServerProcess

pytestmark = pytest.mark.xdist_group("neo4j")

AGAIN = (
    test_feed.test_a_session_is_watched_from_its_first_prompt_to_its_end,
    test_feed.test_a_stream_resumes_after_the_last_event_seen,
    test_feed.test_deletions_are_events,
    test_feed.test_resuming_under_load_loses_and_repeats_nothing,
    test_nodes.test_a_batch_is_all_or_nothing,
    test_nodes.test_a_batch_may_hold_parents_and_children,
    test_nodes.test_a_closed_session_takes_no_prompts_until_it_is_active_again,
    test_nodes.test_a_prompt_belongs_to_its_session_and_follows_the_one_before,
    test_nodes.test_a_session_is_a_node_too,
    test_nodes.test_agents_and_references_named_in_metadata_become_edges,
    test_node_changes.test_an_update_replaces_the_data,
    test_node_changes.test_deleting_a_session_deletes_its_nodes,
    test_nodes.test_follows_is_one_chain_also_under_concurrent_writers,
    test_nodes.test_get_edges_filters_by_direction_and_type,
    test_nodes.test_repeating_a_create_of_an_edge_follows_the_same_rule,
    test_nodes.test_repeating_a_create_with_the_same_content_changes_nothing,
    test_nodes.test_responses_and_tools_hang_from_their_parents,
    test_nodes.test_sessions_are_listed_newest_first_with_their_count,
    test_nodes.test_the_other_node_arms_are_stored_whole,
    test_query.test_filters_narrow,
    test_query.test_lineage_goes_to_causes_and_to_effects,
    test_query.test_pages_are_newest_first_and_the_count_is_of_all,
    test_query.test_reads_at_an_earlier_time_see_the_graph_of_then,
    test_query.test_replay_puts_causes_first,
    test_query.test_stream_query_has_the_order_of_query,
    test_query.test_traverse_yields_paths_shortest_first,
    test_smoke_test.test_a_smoke_test_is_answered_as_any_call_and_seen_by_nobody_else,
)
conversation = test_query.conversation
globals().update({test.__name__: test for test in AGAIN})


@pytest.fixture(scope="module")
def channel(neo4j_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[grpc.Channel]:
    """To a server on an empty Neo4j; its password comes from a file, as a mounted Secret does."""
    wipe(neo4j_uri)
    secret = tmp_path_factory.mktemp("secret") / "password"
    secret.write_text(f"{PASSWORD}\n")
    settings = {"STORE": "neo4j", "NEO4J_URI": neo4j_uri, "NEO4J_PASSWORD_FILE": str(secret)}
    server = ServerProcess(Path("/nonexistent"), settings).wait_ready()
    with grpc.insecure_channel(server.address) as opened:
        yield opened
    assert server.stop() == 0
    assert PASSWORD not in "".join(server.output)


@pytest.fixture(scope="module")
def graph(channel: grpc.Channel) -> rpc.MemoryGraphServiceStub:
    return rpc.MemoryGraphServiceStub(channel)


@pytest.fixture(scope="module")
def graph_query(channel: grpc.Channel) -> rpc.GraphQueryServiceStub:
    return rpc.GraphQueryServiceStub(channel)


def test_health_and_metrics_are_of_the_database(graph: rpc.MemoryGraphServiceStub) -> None:
    graph.CreateSession(pb.CreateSessionRequest())
    limit = time.monotonic() + 60
    while graph.Health(Empty()).status != pb.HealthResponse.SERVING:
        assert time.monotonic() < limit, "the server does not become healthy"
        time.sleep(0.1)
    assert graph.GetMetrics(Empty()).total_sessions >= 1


def test_a_database_that_is_not_there_makes_the_server_wait_and_say_so(serve: Serve) -> None:
    away = f"bolt://127.0.0.1:{free_port()}"
    server = serve(STORE="neo4j", NEO4J_URI=away, NEO4J_PASSWORD="unused")
    with grpc.insecure_channel(server.address) as opened:
        graph = rpc.MemoryGraphServiceStub(opened)
        assert graph.Health(Empty()).status == pb.HealthResponse.NOT_SERVING
        with refused(grpc.StatusCode.UNAVAILABLE) as refusal:
            graph.GetSession(pb.GetSessionRequest(session_id="01890a5d-ac96-774b-bcce-b302099a8057"), timeout=60)
        assert away in refusal.text
    assert server.stop() == 0
    assert "unused" not in "".join(server.output)


def test_a_wrong_uri_is_not_shown(serve: Serve) -> None:
    server = serve(ready=False, STORE="neo4j", NEO4J_URI="bolt://neo4j:hunter2@graph:7687")
    assert server.wait() == 2
    assert "NEO4J_URI must be like" in "".join(server.output)
    assert "hunter2" not in "".join(server.output)
