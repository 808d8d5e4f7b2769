"""A client reads back what it stored through the Service, also after the pod was killed."""

from __future__ import annotations

import json

import pytest
from google.protobuf.json_format import MessageToDict

from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb

CALL_TIMEOUT_S = 60
pytestmark = pytest.mark.xdist_group("release")


def record_conversation(graph) -> tuple[str, list[str]]:
    """Store a session with a prompt, its response and a tool call; return the ids of the session and of the nodes."""
    session = graph.CreateSession(pb.CreateSessionRequest(metadata={"user": "molecule"}), timeout=CALL_TIMEOUT_S)
    prompt = graph.AddPrompt(
        pb.AddPromptRequest(
            session_id=session.id, content="Find me a train from Paris to Madrid", metadata=pb.PromptMetadata(model="m")
        ),
        timeout=CALL_TIMEOUT_S,
    )
    response = graph.AddResponse(
        pb.AddResponseRequest(
            prompt_id=prompt.id,
            content="There are two.",
            token_usage=pb.TokenUsage(prompt_tokens=9, completion_tokens=4, total_tokens=13),
        ),
        timeout=CALL_TIMEOUT_S,
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
        timeout=CALL_TIMEOUT_S,
    )
    return session.id, [prompt.id, response.id, call.id]


def read_back(graph, session_id: str, node_ids: list[str]) -> dict:
    """Return everything that can be read about a session and its nodes."""
    nodes = graph.BatchGetNodes(pb.BatchGetNodesRequest(node_ids=node_ids), timeout=CALL_TIMEOUT_S)
    return {
        "session": MessageToDict(graph.GetSession(pb.GetSessionRequest(session_id=session_id), timeout=CALL_TIMEOUT_S)),
        "nodes": MessageToDict(nodes),
        "edges": [
            MessageToDict(graph.GetEdges(pb.GetEdgesRequest(node_id=node_id), timeout=CALL_TIMEOUT_S))
            for node_id in node_ids
        ],
        "query": MessageToDict(graph.Query(pb.QueryRequest(session_id=session_id), timeout=CALL_TIMEOUT_S)),
    }


@pytest.fixture
def conversation_ids(connect_client):
    """The ids of a stored conversation, which is deleted afterwards."""
    session_id, node_ids = record_conversation(connect_client())
    yield session_id, node_ids
    connect_client().DeleteSession(pb.DeleteSessionRequest(session_id=session_id), timeout=CALL_TIMEOUT_S)


def test_conversation_is_read_back(connect_client, conversation_ids) -> None:
    conversation = read_back(connect_client(), *conversation_ids)
    prompt, response, call = conversation["nodes"]["nodes"]
    assert conversation["session"]["metadata"] == {"user": "molecule"}
    assert prompt["prompt"]["content"] == "Find me a train from Paris to Madrid"
    assert response["response"]["promptId"] == prompt["id"]
    assert response["response"]["tokenUsage"]["totalTokens"] == "13"
    assert call["toolInvocation"]["responseId"] == response["id"]
    assert json.loads(call["toolInvocation"]["result"])[1] == {"departs": "14:40"}
    assert all(edges["edges"] for edges in conversation["edges"])


def test_conversation_survives_the_pod(connect_client, conversation_ids, release, wait_until) -> None:
    before = read_back(connect_client(), *conversation_ids)
    killed_uid = release.kill()
    wait_until(lambda: release.is_replaced(killed_uid))
    assert read_back(connect_client(), *conversation_ids) == before
