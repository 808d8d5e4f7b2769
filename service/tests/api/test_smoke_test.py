"""Calls with x-smoke-test: they do all that calls do, in a tenant of their own that leaves nothing behind."""

from __future__ import annotations

import re
import socket
import urllib.request
from pathlib import Path

import grpc

from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb
from memory_graph.gen.llm.memory.graph.v1.memory_graph_pb2_grpc import MemoryGraphServiceStub
from support.cli import run_cli
from support.refusals import refused
from support.server import Serve

SMOKE_TEST = (("x-smoke-test", "true"),)
WORD = "Schwalbenflug"


def test_a_smoke_test_is_answered_as_any_call_and_seen_by_nobody_else(graph: MemoryGraphServiceStub) -> None:
    session, call = graph.CreateSession.with_call(pb.CreateSessionRequest(), metadata=SMOKE_TEST)
    assert ("x-smoke-test", socket.gethostname()) in [(key, value) for key, value in call.trailing_metadata()]
    request = pb.AddPromptRequest(session_id=session.id, content=f"{WORD} im Mai")
    prompt, call = graph.AddPrompt.with_call(request, metadata=SMOKE_TEST)
    assert dict(call.trailing_metadata())["x-smoke-test"] == socket.gethostname()
    node = graph.GetNode(pb.GetNodeRequest(node_id=prompt.id), metadata=SMOKE_TEST)
    assert node.prompt.content == f"{WORD} im Mai"
    query = pb.QueryRequest(session_id=session.id, filters={"text": WORD.lower()})
    assert [result.id for result in graph.Query(query, metadata=SMOKE_TEST).nodes] == [prompt.id]

    assert graph.Query(pb.QueryRequest(filters={"text": WORD})).total_count == 0
    with refused(grpc.StatusCode.NOT_FOUND):
        graph.GetNode(pb.GetNodeRequest(node_id=prompt.id))
    with refused(grpc.StatusCode.NOT_FOUND):
        graph.DeleteSession(pb.GetSessionRequest(session_id=session.id))

    graph.DeleteSession(pb.DeleteSessionRequest(session_id=session.id), metadata=SMOKE_TEST)
    with refused(grpc.StatusCode.NOT_FOUND):
        graph.GetNode(pb.GetNodeRequest(node_id=prompt.id), metadata=SMOKE_TEST)


def test_other_calls_are_not_answered_as_smoke_tests(graph: MemoryGraphServiceStub) -> None:
    for metadata in ((), (("x-smoke-test", "false"),)):
        session, call = graph.CreateSession.with_call(pb.CreateSessionRequest(), metadata=metadata)
        assert "x-smoke-test" not in dict(call.trailing_metadata())
        assert graph.GetSession(pb.GetSessionRequest(session_id=session.id)).id == session.id


def test_export_feed_and_counts_are_what_they_were_and_the_call_is_counted(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    with grpc.insecure_channel(server.address) as channel:
        graph = MemoryGraphServiceStub(channel)
        users = graph.CreateSession(pb.CreateSessionRequest(metadata={"user": "me"})).id
        feed = graph.StreamEvents(pb.StreamEventsRequest(), metadata=(("last-event-id", "1.0"),), timeout=60)
        feed.initial_metadata()
        exported = run_cli("export", MEMORY_GRAPH_ADDRESS=server.address)
        assert exported.code == 0, exported.err
        metrics, written = (
            graph.GetMetrics(pb.google_dot_protobuf_dot_empty__pb2.Empty()),
            _prompts(server.metrics_port),
        )
        for _ in range(2):
            session = graph.CreateSession(pb.CreateSessionRequest(), metadata=SMOKE_TEST).id
            graph.AddPrompt(pb.AddPromptRequest(session_id=session, content="smoke"), metadata=SMOKE_TEST)
            graph.DeleteSession(pb.DeleteSessionRequest(session_id=session), metadata=SMOKE_TEST)
        assert _prompts(server.metrics_port) == written + 2
        assert run_cli("export", MEMORY_GRAPH_ADDRESS=server.address).out == exported.out
        after = graph.GetMetrics(pb.google_dot_protobuf_dot_empty__pb2.Empty())
        for count in ("total_nodes", "total_edges", "total_sessions", "active_sessions"):
            assert getattr(after, count) == getattr(metrics, count)
        graph.AddPrompt(pb.AddPromptRequest(session_id=users, content="a user's"))
        assert next(feed).id == "2.0"
        feed.cancel()


def _prompts(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        counted = re.search(r'requests_total{method="AddPrompt",status="OK"} ([0-9.]+)', answer.read().decode())
    return int(float(counted[1])) if counted else 0
