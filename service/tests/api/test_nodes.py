"""Sessions, nodes and edges over gRPC: the semantics of contract §1, one bullet a test."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb
from memory_graph.gen.llm.memory.graph.v1.memory_graph_pb2_grpc import GraphQueryServiceStub, MemoryGraphServiceStub
from support.refusals import invalid, refused


def new_session(graph: MemoryGraphServiceStub, **metadata: str) -> str:
    return graph.CreateSession(pb.CreateSessionRequest(metadata=metadata)).id


def add_prompt(graph: MemoryGraphServiceStub, session: str, content: str = "Hello", **custom: str) -> pb.PromptNode:
    metadata = pb.PromptMetadata(model="gpt-x", custom=custom)
    return graph.AddPrompt(pb.AddPromptRequest(session_id=session, content=content, metadata=metadata))


def edges(
    graph: MemoryGraphServiceStub, node: str, direction: int = pb.EDGE_DIRECTION_OUTGOING
) -> list[tuple[int, str, str]]:
    listed = graph.GetEdges(pb.GetEdgesRequest(node_id=node, direction=direction)).edges
    return [(edge.type, edge.from_node_id, edge.to_node_id) for edge in listed]


def prompt_node(session: str, id: str = "", content: str = "Hi") -> pb.Node:
    return pb.Node(id=id, type=pb.NODE_TYPE_PROMPT, prompt=pb.PromptNode(session_id=session, content=content))


def agent_node(name: str, id: str = "") -> pb.Node:
    return pb.Node(
        id=id, type=pb.NODE_TYPE_AGENT, agent=pb.AgentNode(name=name, role="planner", capabilities=["a", "b"])
    )


def test_a_session_is_a_node_too(graph: MemoryGraphServiceStub) -> None:
    session = graph.CreateSession(pb.CreateSessionRequest(metadata={"user": "me"}))
    node = graph.GetNode(pb.GetNodeRequest(node_id=session.id))
    assert (node.id, node.type) == (session.id, pb.NODE_TYPE_SESSION)
    assert node.session == session
    assert session.is_active
    assert session.created_at == session.updated_at
    assert graph.GetSession(pb.GetSessionRequest(session_id=session.id)) == session


def test_ids_the_server_makes_are_version_7_uuids_in_order(graph: MemoryGraphServiceStub) -> None:
    ids = [uuid.UUID(new_session(graph)) for _ in range(3)]
    assert [id.version for id in ids] == [7, 7, 7]
    assert ids == sorted(ids)


def test_sessions_are_listed_newest_first_with_their_count(graph: MemoryGraphServiceStub) -> None:
    before = graph.ListSessions(pb.ListSessionsRequest(limit=1)).total_count
    sessions = [new_session(graph, number=str(number)) for number in range(3)]
    listed = graph.ListSessions(pb.ListSessionsRequest(limit=2))
    assert [session.id for session in listed.sessions] == [sessions[2], sessions[1]]
    assert listed.total_count == before + 3
    rest = graph.ListSessions(pb.ListSessionsRequest(limit=1, offset=2))
    assert [session.id for session in rest.sessions] == [sessions[0]]


def test_a_prompt_belongs_to_its_session_and_follows_the_one_before(graph: MemoryGraphServiceStub) -> None:
    session = new_session(graph)
    first, second = add_prompt(graph, session, "one"), add_prompt(graph, session, "two")
    assert edges(graph, first.id) == [(pb.EDGE_TYPE_BELONGS_TO, first.id, session)]
    assert sorted(edges(graph, second.id)) == [
        (pb.EDGE_TYPE_BELONGS_TO, second.id, session),
        (pb.EDGE_TYPE_FOLLOWS, second.id, first.id),
    ]
    assert second.metadata == pb.PromptMetadata(model="gpt-x")
    assert second.timestamp.ToNanoseconds() >= first.timestamp.ToNanoseconds()


def test_follows_is_one_chain_also_under_concurrent_writers(graph: MemoryGraphServiceStub) -> None:
    session = new_session(graph)
    with ThreadPoolExecutor(16) as pool:
        prompts = [prompt.id for prompt in pool.map(lambda number: add_prompt(graph, session, f"{number}"), range(200))]
    follows = {start: end for id in prompts for type_, start, end in edges(graph, id) if type_ == pb.EDGE_TYPE_FOLLOWS}
    (first,) = set(prompts) - set(follows)
    assert len(set(follows.values())) == len(follows) == len(prompts) - 1
    assert first in follows.values()


def test_responses_and_tools_hang_from_their_parents(graph: MemoryGraphServiceStub) -> None:
    session = new_session(graph)
    prompt = add_prompt(graph, session)
    response = graph.AddResponse(
        pb.AddResponseRequest(
            prompt_id=prompt.id,
            content="Hi",
            token_usage=pb.TokenUsage(prompt_tokens=1, completion_tokens=2, total_tokens=3),
            metadata=pb.ResponseMetadata(model="gpt-x", finish_reason="stop", latency_ms=12),
        )
    )
    assert response.token_usage.total_tokens == 3
    tool = graph.AddToolInvocation(
        pb.AddToolInvocationRequest(
            tool_invocation=pb.ToolInvocationNode(
                response_id=response.id,
                tool_name="search",
                parameters='{"q": 1}',
                status="success",
                result="[]",
                duration_ms=5,
            )
        )
    )
    assert tool.result == "[]"
    assert edges(graph, response.id) == [
        (pb.EDGE_TYPE_RESPONDS_TO, response.id, prompt.id),
        (pb.EDGE_TYPE_INVOKES, response.id, tool.id),
    ]
    of_session = graph.Query(pb.QueryRequest(session_id=session))
    assert [node.id for node in of_session.nodes] == [tool.id, response.id, prompt.id]
    assert of_session.nodes[0].tool_invocation == tool


def test_a_response_without_token_usage_has_none(graph: MemoryGraphServiceStub) -> None:
    prompt = add_prompt(graph, new_session(graph))
    response = graph.AddResponse(pb.AddResponseRequest(prompt_id=prompt.id, content="Hi"))
    stored = graph.GetNode(pb.GetNodeRequest(node_id=response.id)).response
    assert not stored.HasField("token_usage")
    assert not stored.HasField("metadata")


def test_agents_and_references_named_in_metadata_become_edges(graph: MemoryGraphServiceStub) -> None:
    agent = graph.CreateNode(pb.CreateNodeRequest(node=agent_node("planner"))).id
    session = new_session(graph)
    first, second = add_prompt(graph, session), add_prompt(graph, session)
    prompt = add_prompt(graph, session, agent_id=agent, references=f"{first.id}, {second.id}")
    prompt_edges = edges(graph, prompt.id)
    assert (pb.EDGE_TYPE_HANDLED_BY, prompt.id, agent) in prompt_edges
    assert (pb.EDGE_TYPE_REFERENCES, prompt.id, first.id) in prompt_edges
    assert (pb.EDGE_TYPE_REFERENCES, prompt.id, second.id) in prompt_edges
    response = graph.AddResponse(
        pb.AddResponseRequest(
            prompt_id=prompt.id, content="over", metadata=pb.ResponseMetadata(custom={"transfer_to_agent_id": agent})
        )
    )
    assert (pb.EDGE_TYPE_TRANSFERS_TO, response.id, agent) in edges(graph, response.id)


def test_repeating_a_create_with_the_same_content_changes_nothing(graph: MemoryGraphServiceStub) -> None:
    session, id = new_session(graph), str(uuid.uuid4())
    first = graph.CreateNode(pb.CreateNodeRequest(node=prompt_node(session, id)))
    again = graph.CreateNode(pb.CreateNodeRequest(node=prompt_node(session, id)))
    assert again == first
    assert len(edges(graph, id)) == 1
    with refused(grpc.StatusCode.ALREADY_EXISTS) as refusal:
        graph.CreateNode(pb.CreateNodeRequest(node=prompt_node(session, id, "other")))
    assert id in refusal.text


def test_repeating_a_create_of_an_edge_follows_the_same_rule(graph: MemoryGraphServiceStub) -> None:
    session = new_session(graph)
    first, second = add_prompt(graph, session), add_prompt(graph, session)
    edge = pb.Edge(
        id=str(uuid.uuid4()),
        from_node_id=first.id,
        to_node_id=second.id,
        type=pb.EDGE_TYPE_REFERENCES,
        properties={"why": "x"},
    )
    created = graph.CreateEdge(pb.CreateEdgeRequest(edge=edge))
    assert graph.CreateEdge(pb.CreateEdgeRequest(edge=edge)) == created
    edge.properties["why"] = "y"
    with refused(grpc.StatusCode.ALREADY_EXISTS):
        graph.CreateEdge(pb.CreateEdgeRequest(edge=edge))
    graph.DeleteEdge(pb.DeleteEdgeRequest(edge_id=edge.id))
    with refused(grpc.StatusCode.NOT_FOUND):
        graph.DeleteEdge(pb.DeleteEdgeRequest(edge_id=edge.id))


def test_get_edges_filters_by_direction_and_type(graph: MemoryGraphServiceStub) -> None:
    session = new_session(graph)
    first, second = add_prompt(graph, session), add_prompt(graph, session)
    both = graph.GetEdges(pb.GetEdgesRequest(node_id=first.id)).edges
    assert {edge.type for edge in both} == {pb.EDGE_TYPE_BELONGS_TO, pb.EDGE_TYPE_FOLLOWS}
    incoming = graph.GetEdges(pb.GetEdgesRequest(node_id=first.id, direction=pb.EDGE_DIRECTION_INCOMING)).edges
    assert [edge.from_node_id for edge in incoming] == [second.id]
    typed = graph.GetEdges(pb.GetEdgesRequest(node_id=first.id, type=pb.EDGE_TYPE_BELONGS_TO)).edges
    assert [edge.to_node_id for edge in typed] == [session]
    with refused(grpc.StatusCode.NOT_FOUND):
        graph.GetEdges(pb.GetEdgesRequest(node_id=str(uuid.uuid4())))


def test_a_batch_keeps_order(graph: MemoryGraphServiceStub) -> None:
    session = new_session(graph)
    nodes = [prompt_node(session, content=f"{number}") for number in range(50)] + [agent_node("last")]
    created = graph.BatchCreateNodes(pb.BatchCreateNodesRequest(nodes=nodes))
    assert created.created_count == 51
    assert [node.prompt.content for node in created.nodes[:50]] == [f"{number}" for number in range(50)]
    ids = [node.id for node in created.nodes]
    requested = [ids[3], str(uuid.uuid4()), ids[50], ids[0]]
    answered = graph.BatchGetNodes(pb.BatchGetNodesRequest(node_ids=requested)).nodes
    assert [node.id for node in answered] == [ids[3], ids[50], ids[0]]


def test_a_batch_is_all_or_nothing(graph: MemoryGraphServiceStub) -> None:
    session = new_session(graph)
    nodes = [prompt_node(session), prompt_node(str(uuid.uuid4())), prompt_node(session)]
    with refused(grpc.StatusCode.NOT_FOUND):
        graph.BatchCreateNodes(pb.BatchCreateNodesRequest(nodes=nodes))
    with invalid("nodes[2].prompt.content"):
        graph.BatchCreateNodes(
            pb.BatchCreateNodesRequest(nodes=[*nodes[:1], agent_node("x"), prompt_node(session, content="")])
        )
    assert graph.Query(pb.QueryRequest(session_id=session)).total_count == 0


def test_a_batch_may_hold_parents_and_children(graph: MemoryGraphServiceStub) -> None:
    session, prompt = str(uuid.uuid4()), str(uuid.uuid4())
    nodes = [
        pb.Node(id=session, type=pb.NODE_TYPE_SESSION, session=pb.Session(metadata={"user": "me"})),
        prompt_node(session, prompt),
        pb.Node(type=pb.NODE_TYPE_RESPONSE, response=pb.ResponseNode(prompt_id=prompt, content="Hi")),
    ]
    created = graph.BatchCreateNodes(pb.BatchCreateNodesRequest(nodes=nodes))
    assert created.created_count == 3
    assert created.nodes[0].session.is_active


def test_a_session_id_that_is_another_node_is_not_found(graph: MemoryGraphServiceStub) -> None:
    prompt = add_prompt(graph, new_session(graph))
    with refused(grpc.StatusCode.NOT_FOUND):
        graph.GetSession(pb.GetSessionRequest(session_id=prompt.id))
    with refused(grpc.StatusCode.NOT_FOUND):
        graph.AddPrompt(pb.AddPromptRequest(session_id=prompt.id, content="x"))
    with refused(grpc.StatusCode.NOT_FOUND):
        graph.DeleteSession(pb.DeleteSessionRequest(session_id=prompt.id))


def test_a_closed_session_takes_no_prompts_until_it_is_active_again(
    graph: MemoryGraphServiceStub, graph_query: GraphQueryServiceStub
) -> None:
    session = new_session(graph, user="me")
    closed = graph_query.CloseSession(pb.CloseSessionRequest(session_id=session))
    assert not closed.is_active
    assert graph_query.CloseSession(pb.CloseSessionRequest(session_id=session)) == closed
    with refused(grpc.StatusCode.FAILED_PRECONDITION) as refusal:
        add_prompt(graph, session)
    assert session in refusal.text
    node = pb.Node(id=session, type=pb.NODE_TYPE_SESSION, session=pb.Session(metadata={"user": "me"}, is_active=True))
    graph.UpdateNode(pb.UpdateNodeRequest(node=node))
    add_prompt(graph, session)


@pytest.mark.parametrize("arm", ["model", "invocation", "metric", "error"])
def test_the_other_node_arms_are_stored_whole(graph: MemoryGraphServiceStub, arm: str) -> None:
    at = Timestamp(seconds=1_700_000_000, nanos=123_456_789)
    samples = {
        "model": (
            pb.NODE_TYPE_MODEL,
            pb.ModelNode(model_id="m", provider="p", version="1", capabilities=["c"], created_at=at),
        ),
        "invocation": (
            pb.NODE_TYPE_INVOCATION,
            pb.InvocationNode(
                model_id="m", provider="p", status="success", token_count=3, latency_ms=1.5, timestamp=at
            ),
        ),
        "metric": (pb.NODE_TYPE_PERFORMANCE_METRIC, pb.MetricNode(name="p95", value=1.25, unit="ms", timestamp=at)),
        "error": (pb.NODE_TYPE_ERROR, pb.ErrorNode(error_type="timeout", message="slow", severity="low", timestamp=at)),
    }
    node_type, data = samples[arm]
    created = graph.CreateNode(pb.CreateNodeRequest(node=pb.Node(type=node_type, **{arm: data})))
    assert created.created_at == at
    data.id = created.id
    assert getattr(graph.GetNode(pb.GetNodeRequest(node_id=created.id)), arm) == data
