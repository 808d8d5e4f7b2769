"""What a client stores through the Service is there, also after the pod was killed."""

from __future__ import annotations

import json

import pytest
from google.protobuf.json_format import MessageToDict

from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb

CALL_SECONDS = 60
pytestmark = pytest.mark.xdist_group("release")


def record(graph) -> tuple[str, list[str]]:
    """A session with a prompt, its response and a tool call; returns the session's id and those of its nodes."""
    session = graph.CreateSession(pb.CreateSessionRequest(metadata={"user": "molecule"}), timeout=CALL_SECONDS)
    prompt = graph.AddPrompt(
        pb.AddPromptRequest(
            session_id=session.id, content="Find me a train from Paris to Madrid", metadata=pb.PromptMetadata(model="m")
        ),
        timeout=CALL_SECONDS,
    )
    response = graph.AddResponse(
        pb.AddResponseRequest(
            prompt_id=prompt.id,
            content="There are two.",
            token_usage=pb.TokenUsage(prompt_tokens=9, completion_tokens=4, total_tokens=13),
        ),
        timeout=CALL_SECONDS,
    )
    call = graph.AddToolInvocation(
        pb.AddToolInvocationRequest(
            tool_invocation=pb.ToolInvocationNode(
                response_id=response.id,
                tool_name="search_trains",
                parameters=json.dumps({"from": "Paris", "to": "Madrid"}),
                status="success",
                result=json.dumps([{"departs": "09:12"}, {"departs": "14:40"}]),
                duration_ms=840,
            )
        ),
        timeout=CALL_SECONDS,
    )
    return session.id, [prompt.id, response.id, call.id]


def recall(graph, session_id: str, node_ids: list[str]) -> dict:
    """Everything that can be read about them."""
    nodes = graph.BatchGetNodes(pb.BatchGetNodesRequest(node_ids=node_ids), timeout=CALL_SECONDS)
    return {
        "session": MessageToDict(graph.GetSession(pb.GetSessionRequest(session_id=session_id), timeout=CALL_SECONDS)),
        "nodes": MessageToDict(nodes),
        "edges": [
            MessageToDict(graph.GetEdges(pb.GetEdgesRequest(node_id=node_id), timeout=CALL_SECONDS))
            for node_id in node_ids
        ],
        "query": MessageToDict(graph.Query(pb.QueryRequest(session_id=session_id), timeout=CALL_SECONDS)),
    }


@pytest.fixture
def recorded(dial):
    """A recorded conversation, deleted afterwards."""
    session_id, node_ids = record(dial())
    yield session_id, node_ids
    dial().DeleteSession(pb.DeleteSessionRequest(session_id=session_id), timeout=CALL_SECONDS)


def test_conversation_is_read_back(dial, recorded) -> None:
    found = recall(dial(), *recorded)
    prompt, response, call = found["nodes"]["nodes"]
    assert found["session"]["metadata"] == {"user": "molecule"}
    assert prompt["prompt"]["content"] == "Find me a train from Paris to Madrid"
    assert response["response"]["promptId"] == prompt["id"]
    assert response["response"]["tokenUsage"]["totalTokens"] == "13"
    assert call["toolInvocation"]["responseId"] == response["id"]
    assert json.loads(call["toolInvocation"]["result"])[1] == {"departs": "14:40"}
    assert all(edges["edges"] for edges in found["edges"])


def test_conversation_survives_the_pod(dial, recorded, release, awaited) -> None:
    before = recall(dial(), *recorded)
    killed = release.kill()
    awaited(lambda: release.replaced(killed))
    assert recall(dial(), *recorded) == before
