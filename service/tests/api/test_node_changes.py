"""Updates and deletions of nodes over gRPC."""

from __future__ import annotations

import uuid

import grpc

from api.test_nodes import add_prompt, agent_node, edges, new_session
from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb
from memory_graph.gen.llm.memory.graph.v1.memory_graph_pb2_grpc import MemoryGraphServiceStub
from support.refusals import invalid, refused


def test_an_update_replaces_the_data(graph: MemoryGraphServiceStub) -> None:
    session = new_session(graph)
    prompt = graph.GetNode(pb.GetNodeRequest(node_id=add_prompt(graph, session).id))
    prompt.prompt.content = "changed"
    assert graph.UpdateNode(pb.UpdateNodeRequest(node=prompt)).prompt.content == "changed"
    stored = graph.GetNode(pb.GetNodeRequest(node_id=prompt.id))
    assert stored.prompt.content == "changed"
    assert stored.created_at == prompt.created_at


def test_an_update_may_not_move_a_node(graph: MemoryGraphServiceStub) -> None:
    session = new_session(graph)
    prompt = graph.GetNode(pb.GetNodeRequest(node_id=add_prompt(graph, session).id))
    moved = pb.Node()
    moved.CopyFrom(prompt)
    moved.prompt.session_id = new_session(graph)
    with invalid("node.prompt"):
        graph.UpdateNode(pb.UpdateNodeRequest(node=moved))
    with invalid("node.type"):
        graph.UpdateNode(pb.UpdateNodeRequest(node=agent_node("x", prompt.id)))
    with refused(grpc.StatusCode.NOT_FOUND):
        graph.UpdateNode(pb.UpdateNodeRequest(node=agent_node("x", str(uuid.uuid4()))))
    with invalid("node.id"):
        graph.UpdateNode(pb.UpdateNodeRequest(node=agent_node("x")))


def test_deleting_a_node_deletes_its_edges_and_mends_the_chain(graph: MemoryGraphServiceStub) -> None:
    session = new_session(graph)
    first, middle, last = (add_prompt(graph, session, text) for text in ("one", "two", "three"))
    graph.DeleteNode(pb.DeleteNodeRequest(node_id=middle.id))
    with refused(grpc.StatusCode.NOT_FOUND):
        graph.GetNode(pb.GetNodeRequest(node_id=middle.id))
    assert (pb.EDGE_TYPE_FOLLOWS, last.id, first.id) in edges(graph, last.id)
    assert all(middle.id not in edge for edge in edges(graph, session, pb.EDGE_DIRECTION_INCOMING))
    with refused(grpc.StatusCode.NOT_FOUND):
        graph.DeleteNode(pb.DeleteNodeRequest(node_id=middle.id))


def test_deleting_a_session_deletes_its_nodes(graph: MemoryGraphServiceStub) -> None:
    session, other = new_session(graph), new_session(graph)
    prompt, other_prompt = add_prompt(graph, session), add_prompt(graph, other)
    response = graph.AddResponse(pb.AddResponseRequest(prompt_id=prompt.id, content="Hi"))
    graph.DeleteSession(pb.DeleteSessionRequest(session_id=session))
    remaining = graph.BatchGetNodes(
        pb.BatchGetNodesRequest(node_ids=[session, prompt.id, response.id, other_prompt.id])
    ).nodes
    assert [node.id for node in remaining] == [other_prompt.id]
    with refused(grpc.StatusCode.NOT_FOUND):
        graph.GetSession(pb.GetSessionRequest(session_id=session))
    with refused(grpc.StatusCode.NOT_FOUND):
        graph.DeleteSession(pb.DeleteSessionRequest(session_id=session))
