"""A server process from its start to its end: health, limits, drain, crash, faults."""

from __future__ import annotations

import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from grpc_health.v1 import health_pb2, health_pb2_grpc

from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb
from memory_graph.gen.llm.memory.graph.v1.memory_graph_pb2_grpc import MemoryGraphServiceStub
from support.disks import mounted
from support.refusals import refused
from support.server import Serve, ServerProcess

SERVICES = ("", "llm.memory.graph.v1.MemoryGraphService", "llm.memory.graph.v1.GraphQueryService")
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def scrape(server: ServerProcess, path: str = "/metrics") -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}{path}", timeout=30) as reply:
        return str(reply.read().decode())


def value(metrics: str, sample: str) -> float:
    line = next(line for line in metrics.splitlines() if line.startswith(f"{sample} "))
    return float(line.rsplit(" ", 1)[1])


def test_health_and_metrics_say_what_is(serve: Serve) -> None:
    server = serve()
    with grpc.insecure_channel(server.address) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        for name in (*SERVICES, "liveness"):
            assert check(health_pb2.HealthCheckRequest(service=name)).status == SERVING
        with refused(grpc.StatusCode.NOT_FOUND):
            check(health_pb2.HealthCheckRequest(service="unknown"))
        graph = MemoryGraphServiceStub(channel)
        health = graph.Health(Empty())
        assert (health.status, health.version) == (pb.HealthResponse.SERVING, "0.1.0")
        session = graph.CreateSession(pb.CreateSessionRequest()).id
        graph.AddPrompt(pb.AddPromptRequest(session_id=session, content="x"))
        with refused(grpc.StatusCode.NOT_FOUND):
            graph.GetNode(pb.GetNodeRequest(node_id="0198f3a2-7c44-7bd1-9f0e-3b8f2f1c5a77"))
        measured = graph.GetMetrics(Empty())
    assert (measured.total_nodes, measured.total_edges, measured.total_sessions, measured.active_sessions) == (
        2,
        1,
        1,
        1,
    )
    assert measured.avg_write_latency_ms > 0
    assert measured.avg_read_latency_ms > 0
    metrics = scrape(server)
    assert value(metrics, 'memory_graph_grpc_requests_total{method="AddPrompt",status="OK"}') == 1
    assert value(metrics, 'memory_graph_grpc_requests_total{method="GetNode",status="NOT_FOUND"}') == 1
    assert value(metrics, "memory_graph_write_latency_seconds_count") == 2
    assert value(metrics, "memory_graph_store_commit_mutations_sum") == 2
    assert scrape(server, "/healthz") == "ok\n"


def test_sigterm_keeps_what_was_acknowledged_and_exits_0(serve: Serve) -> None:
    server = serve()
    with grpc.insecure_channel(server.address) as channel:
        graph = MemoryGraphServiceStub(channel)
        session = graph.CreateSession(pb.CreateSessionRequest()).id
        watching = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        feed = graph.StreamEvents(pb.StreamEventsRequest())
        feed.initial_metadata()
        assert next(watching).status == SERVING
        prompt = graph.AddPrompt(pb.AddPromptRequest(session_id=session, content="kept")).id
        server.process.send_signal(signal.SIGTERM)
        assert next(watching).status == NOT_SERVING
        seen = []
        with refused(grpc.StatusCode.UNAVAILABLE) as refusal:
            seen.extend(feed)
        assert refusal.trailing["last-event-id"] == seen[-1].id
    assert server.wait() == 0
    assert server.log[-1]["message"] == "stopped"
    with grpc.insecure_channel(serve(server.data).address) as channel:
        assert MemoryGraphServiceStub(channel).GetNode(pb.GetNodeRequest(node_id=prompt)).prompt.content == "kept"


@pytest.mark.parametrize("round_", range(3))
def test_kill_9_under_load_loses_nothing_acknowledged(serve: Serve, round_: int) -> None:
    server = serve()
    acknowledged: list[tuple[str, str]] = []
    enough = threading.Event()
    with grpc.insecure_channel(server.address) as channel:
        graph = MemoryGraphServiceStub(channel)
        session = graph.CreateSession(pb.CreateSessionRequest()).id

        def write() -> None:
            try:
                while True:
                    prompt = graph.AddPrompt(pb.AddPromptRequest(session_id=session, content="x")).id
                    response = graph.AddResponse(pb.AddResponseRequest(prompt_id=prompt, content="y")).id
                    acknowledged.append((prompt, response))
                    if len(acknowledged) > 150 * (round_ + 1):
                        enough.set()
            except grpc.RpcError:
                return

        writers = [threading.Thread(target=write) for _ in range(8)]
        for writer in writers:
            writer.start()
        assert enough.wait(60)
        server.stop(signal.SIGKILL)
        for writer in writers:
            writer.join()
    with grpc.insecure_channel(serve(server.data).address) as channel:
        graph = MemoryGraphServiceStub(channel)
        nodes = {node.id: node for node in graph.StreamQuery(pb.QueryRequest(session_id=session))}
        assert {id for pair in acknowledged for id in pair} <= set(nodes)
        follows = {}
        for id in nodes:
            for edge in graph.GetEdges(pb.GetEdgesRequest(node_id=id)).edges:
                assert {edge.from_node_id, edge.to_node_id} <= {*nodes, session}
                if edge.type == pb.EDGE_TYPE_FOLLOWS:
                    follows[edge.from_node_id] = edge.to_node_id
        prompts = [id for id, node in nodes.items() if node.type == pb.NODE_TYPE_PROMPT]
        assert len(follows) == len(set(follows.values())) == len(prompts) - 1


def test_connections_over_the_limit_are_refused(serve: Serve) -> None:
    server = serve(MAX_CONNECTIONS=3)
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.insecure_channel(server.address, options=options) for _ in range(3)]
    for channel in channels:
        MemoryGraphServiceStub(channel).Health(Empty(), wait_for_ready=True, timeout=30)
    with grpc.insecure_channel(server.address, options=options) as extra, refused(grpc.StatusCode.UNAVAILABLE):
        MemoryGraphServiceStub(extra).Health(Empty())
    for channel in channels:
        channel.close()


def fill(graph: MemoryGraphServiceStub, session: str) -> tuple[list[str], str]:
    """Writes until not even the smallest prompt fits; the ids acknowledged, and what the last refusal said."""
    written: list[str] = []
    for size in (500_000, 50_000, 5_000, 500, 1):
        with refused(grpc.StatusCode.UNAVAILABLE) as refusal:
            while True:
                request = pb.AddPromptRequest(session_id=session, content="x" * size)
                written.append(graph.AddPrompt(request).id)
    return written, refusal.text


@pytest.mark.slow
def test_a_full_disk_turns_health_and_writes_but_loses_nothing(serve: Serve, small_disk: Path) -> None:
    server = serve(small_disk / "data")
    with grpc.insecure_channel(server.address) as channel:
        graph = MemoryGraphServiceStub(channel)
        session = graph.CreateSession(pb.CreateSessionRequest()).id
        written, error = fill(graph, session)
        assert "full" in error
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
        assert any(status.status == NOT_SERVING for status in watch)
        live = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="liveness"))
        assert live.status == SERVING
        assert graph.GetNode(pb.GetNodeRequest(node_id=written[-1])).id == written[-1]
        (small_disk / "ballast").unlink()
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
        assert any(status.status == SERVING for status in watch)
        written.append(graph.AddPrompt(pb.AddPromptRequest(session_id=session, content="room again")).id)
        page = graph.Query(pb.QueryRequest(session_id=session, limit=1))
        assert {node.id for node in graph.StreamQuery(pb.QueryRequest(session_id=session))} == set(written)
        assert page.total_count == len(written)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A 64 MiB file system, 48 MiB of it ballast: without it there is room for the log and the file it goes into."""
    with mounted(tmp_path / "disk", 48) as disk:
        yield disk


def test_healthz_is_503_while_not_serving(serve: Serve, small_disk: Path) -> None:
    server = serve(small_disk / "data")
    with grpc.insecure_channel(server.address) as channel:
        graph = MemoryGraphServiceStub(channel)
        session = graph.CreateSession(pb.CreateSessionRequest()).id
        fill(graph, session)
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
        assert any(status.status == NOT_SERVING for status in watch)
        with pytest.raises(urllib.error.HTTPError, match="503"):
            scrape(server, "/healthz")


SLEEPER = """
import asyncio
from memory_graph.plugins import Plugin

class Sleeper(Plugin):
    name = "sleeper"

    async def before_create_session(self, context, node):
        await asyncio.sleep(600)
"""


def test_a_unary_call_has_a_time_limit(serve: Serve, tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "sleeper.py").write_text(SLEEPER)
    server = serve(PLUGIN_DIRS=plugins, PLUGIN_TIMEOUT_MS=600_000, REQUEST_TIMEOUT_MS=200)
    with grpc.insecure_channel(server.address) as channel:
        with refused(grpc.StatusCode.DEADLINE_EXCEEDED) as refusal:
            MemoryGraphServiceStub(channel).CreateSession(pb.CreateSessionRequest())
        assert "REQUEST_TIMEOUT_MS" in refusal.text
    assert 'status="DEADLINE_EXCEEDED"' in scrape(server)


WITNESS = """
import os
from memory_graph.plugins import Plugin

class Witness(Plugin):
    name = "witness"

    def before_query(self, context, condition):
        self.note("before", context)

    def after_query(self, context, condition):
        self.note("after", context)

    def note(self, when, context):
        with open(os.environ["WITNESS"], "a") as file:
            file.write(f"{when} {context.method} {context.request_id}\\n")
"""


def test_the_hooks_of_one_query_see_one_request(serve: Serve, tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "witness.py").write_text(WITNESS)
    server = serve(PLUGIN_DIRS=plugins, WITNESS=tmp_path / "seen")
    with grpc.insecure_channel(server.address) as channel:
        graph = MemoryGraphServiceStub(channel)
        graph.Query(pb.QueryRequest())
        list(graph.StreamQuery(pb.QueryRequest()))
    assert server.stop() == 0
    seen = [line.split() for line in (tmp_path / "seen").read_text().splitlines()]
    for method in ("Query", "StreamQuery"):
        hooks = {when: request for when, called, request in seen if called == method}
        assert set(hooks) == {"before", "after"}
        assert hooks["before"] == hooks["after"]


def test_an_old_connection_is_asked_to_reconnect_and_no_call_is_lost(serve: Serve) -> None:
    server = serve(MAX_CONNECTION_AGE_S=1)
    states = []
    with grpc.insecure_channel(server.address) as channel:
        channel.subscribe(states.append)
        graph = MemoryGraphServiceStub(channel)
        while states.count(grpc.ChannelConnectivity.IDLE) < 3:
            graph.Health(Empty(), wait_for_ready=True, timeout=30)
