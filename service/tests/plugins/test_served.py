"""The example plugins in a running server."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import grpc
import pytest

from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb
from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2_grpc as rpc

EXAMPLES = Path(__file__).parents[2] / "examples" / "plugins"


def test_the_examples_guard_a_server(serve):
    server = serve(PLUGIN_DIRS=EXAMPLES)
    with grpc.insecure_channel(server.address) as channel:
        graph = rpc.MemoryGraphServiceStub(channel)
        with pytest.raises(grpc.RpcError) as refusal:
            graph.CreateSession(pb.CreateSessionRequest())
        assert refusal.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert refusal.value.details() == "plugin prompt-policy refused: a session needs metadata user"
        session = graph.CreateSession(pb.CreateSessionRequest(metadata={"user": "me"}))
        prompt = graph.AddPrompt(pb.AddPromptRequest(session_id=session.id, content="I am a@b.example"))
        assert prompt.content == "I am [EMAIL]"
        stored = graph.Query(pb.QueryRequest(session_id=session.id, node_type=pb.NODE_TYPE_PROMPT)).nodes
        assert [node.prompt.content for node in stored] == ["I am [EMAIL]"]
    with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics", timeout=10) as answer:
        exposed = answer.read().decode()
    called = 'memory_graph_plugin_executions_total{hook="before_create_session",plugin="prompt-policy"} 2.0'
    assert called in exposed


def test_a_plugin_that_fails_writes_nothing(serve, tmp_path):
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "broken.py").write_text(
        "from memory_graph.plugins import Plugin\n"
        "class Broken(Plugin):\n"
        "    name = 'broken'\n"
        "    async def before_create_node(self, context, node): raise KeyError(node.data.content)\n"
    )
    server = serve(PLUGIN_DIRS=folder)
    with grpc.insecure_channel(server.address) as channel:
        graph = rpc.MemoryGraphServiceStub(channel)
        session = graph.CreateSession(pb.CreateSessionRequest())
        with pytest.raises(grpc.RpcError) as failure:
            graph.AddPrompt(pb.AddPromptRequest(session_id=session.id, content="very private"))
        assert failure.value.code() is grpc.StatusCode.INTERNAL
        assert failure.value.details().startswith("plugin broken raised KeyError in before_create_node; nothing was")
        assert graph.Query(pb.QueryRequest(session_id=session.id, node_type=pb.NODE_TYPE_PROMPT)).total_count == 0
    assert server.stop() == 0
    assert "very private" not in "".join(server.output)
