"""Query, StreamQuery, Traverse, Lineage and SessionReplay over gRPC."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb
from memory_graph.gen.llm.memory.graph.v1.memory_graph_pb2_grpc import GraphQueryServiceStub, MemoryGraphServiceStub
from support.refusals import invalid, refused
from support.server import Serve


@dataclass
class Conversation:
    session: str
    prompts: list[str]
    response: str
    tool: str


@pytest.fixture
def conversation(graph: MemoryGraphServiceStub) -> Conversation:
    session = graph.CreateSession(pb.CreateSessionRequest(metadata={"user": str(uuid.uuid4())})).id
    prompts = [
        graph.AddPrompt(
            pb.AddPromptRequest(
                session_id=session,
                content=f"prompt number {number} about trains",
                metadata=pb.PromptMetadata(model=f"model-{number % 2}", custom={"number": str(number)}),
            )
        ).id
        for number in range(5)
    ]
    response = graph.AddResponse(
        pb.AddResponseRequest(
            prompt_id=prompts[0], content="Paris to Madrid", metadata=pb.ResponseMetadata(finish_reason="stop")
        )
    ).id
    tool = graph.AddToolInvocation(
        pb.AddToolInvocationRequest(
            tool_invocation=pb.ToolInvocationNode(
                response_id=response, tool_name="search_trains", status="error", metadata={"zone": "eu"}
            )
        )
    ).id
    return Conversation(session, prompts, response, tool)


def ids(graph: MemoryGraphServiceStub, **request: object) -> list[str]:
    return [node.id for node in graph.Query(pb.QueryRequest(**request)).nodes]


def test_pages_are_newest_first_and_the_count_is_of_all(
    graph: MemoryGraphServiceStub, conversation: Conversation
) -> None:
    c = conversation
    everything = [c.tool, c.response, *reversed(c.prompts)]
    page = graph.Query(pb.QueryRequest(session_id=c.session, limit=3))
    assert [node.id for node in page.nodes] == everything[:3]
    assert page.total_count == 7
    assert ids(graph, session_id=c.session, limit=3, offset=3) == everything[3:6]
    past = graph.Query(pb.QueryRequest(session_id=c.session, offset=100))
    assert (list(past.nodes), past.total_count) == ([], 7)


def test_filters_narrow(graph: MemoryGraphServiceStub, conversation: Conversation) -> None:
    c = conversation
    assert ids(graph, session_id=c.session, node_type=pb.NODE_TYPE_PROMPT) == c.prompts[::-1]
    assert ids(graph, session_id=c.session, filters={"model": "model-1"}) == [c.prompts[3], c.prompts[1]]
    assert ids(graph, session_id=c.session, filters={"status": "error"}) == [c.tool]
    assert ids(graph, session_id=c.session, filters={"tool_name": "search_trains"}) == [c.tool]
    assert ids(graph, session_id=c.session, filters={"finish_reason": "stop"}) == [c.response]
    assert ids(graph, session_id=c.session, filters={"metadata.zone": "eu"}) == [c.tool]
    assert ids(graph, session_id=c.session, filters={"custom.number": "2"}) == [c.prompts[2]]
    assert ids(graph, session_id=c.session, filters={"custom.number": "2", "model": "model-1"}) == []
    assert ids(graph, session_id=c.session, filters={"text": "madrid"}) == [c.response]
    assert ids(graph, session_id=c.session, filters={"text": "number 3"}) == [c.prompts[3]]


def test_search_text_is_words_not_syntax(graph: MemoryGraphServiceStub, conversation: Conversation) -> None:
    for text in ('"', "NEAR(", "a OR b*", "content:trains", "-trains", "(((", "'; DROP TABLE nodes;--"):
        graph.Query(pb.QueryRequest(session_id=conversation.session, filters={"text": text}))


def test_the_time_range_is_inclusive(graph: MemoryGraphServiceStub, conversation: Conversation) -> None:
    c = conversation
    nodes = graph.Query(pb.QueryRequest(session_id=c.session)).nodes
    oldest, newest = nodes[-1], nodes[0]
    assert ids(graph, session_id=c.session, after=newest.created_at) == [newest.id]
    assert ids(graph, session_id=c.session, before=oldest.created_at) == [oldest.id]
    assert len(ids(graph, session_id=c.session, after=oldest.created_at, before=newest.created_at)) == 7


def test_stream_query_has_the_order_of_query(graph: MemoryGraphServiceStub, conversation: Conversation) -> None:
    c = conversation
    expected = ids(graph, session_id=c.session)
    assert [node.id for node in graph.StreamQuery(pb.QueryRequest(session_id=c.session))] == expected
    streamed = graph.StreamQuery(pb.QueryRequest(session_id=c.session, offset=2, limit=3))
    assert [node.id for node in streamed] == expected[2:5]


def test_wrong_queries_name_their_fields(graph: MemoryGraphServiceStub) -> None:
    with invalid("limit", "offset", "filters[colour]", "session_id", "node_type"):
        graph.Query(pb.QueryRequest(session_id="x", node_type=99, limit=10_001, offset=-1, filters={"colour": "red"}))
    with invalid("limit"):
        graph.Query(pb.QueryRequest(limit=-1))
    with invalid("filters[metadata.]", "filters[text]"):
        graph.Query(pb.QueryRequest(filters={"metadata.": "x", "text": "  "}))
    with invalid("after"):
        graph.Query(pb.QueryRequest(after=Timestamp(seconds=2), before=Timestamp(seconds=1)))
    with invalid("before"):
        graph.Query(pb.QueryRequest(before=Timestamp(seconds=-5)))
    with invalid("filters[colour]"):
        list(graph.StreamQuery(pb.QueryRequest(filters={"colour": "red"})))


def test_traverse_yields_paths_shortest_first(
    graph: MemoryGraphServiceStub, graph_query: GraphQueryServiceStub, conversation: Conversation
) -> None:
    c = conversation
    request = pb.TraverseRequest(
        start_node_ids=[c.prompts[0]],
        direction=pb.EDGE_DIRECTION_BOTH,
        edge_types=[pb.EDGE_TYPE_RESPONDS_TO, pb.EDGE_TYPE_INVOKES],
        depth=2,
    )
    paths = [[node.id for node in path.nodes] for path in graph_query.Traverse(request)]
    assert paths == [[c.prompts[0], c.response], [c.prompts[0], c.response, c.tool]]
    request.depth = 1
    (path,) = graph_query.Traverse(request)
    assert path.edges[0].type == pb.EDGE_TYPE_RESPONDS_TO
    with refused(grpc.StatusCode.NOT_FOUND):
        list(graph_query.Traverse(pb.TraverseRequest(start_node_ids=[str(uuid.uuid4())])))
    with invalid("depth", "start_node_ids", "edge_types[0]"):
        list(graph_query.Traverse(pb.TraverseRequest(depth=11, edge_types=[99])))


def test_lineage_goes_to_causes_and_to_effects(graph_query: GraphQueryServiceStub, conversation: Conversation) -> None:
    c = conversation

    def lineage(direction: int, depth: int = 10) -> dict[str, int]:
        request = pb.LineageRequest(node_id=c.response, direction=direction, depth=depth)
        return {step.node.id: step.distance for step in graph_query.Lineage(request).steps}

    assert lineage(pb.LINEAGE_DIRECTION_UPSTREAM) == {c.response: 0, c.prompts[0]: -1, c.session: -2}
    assert lineage(pb.LINEAGE_DIRECTION_DOWNSTREAM) == {c.response: 0, c.tool: 1}
    assert lineage(pb.LINEAGE_DIRECTION_BOTH, 1) == {c.response: 0, c.prompts[0]: -1, c.tool: 1}


def test_lineage_comes_in_pages(graph_query: GraphQueryServiceStub, conversation: Conversation) -> None:
    def lineage(**page: int) -> pb.LineageResponse:
        both = pb.LINEAGE_DIRECTION_BOTH
        return graph_query.Lineage(pb.LineageRequest(node_id=conversation.response, direction=both, depth=10, **page))

    whole = lineage()
    assert whole.total_count == len(whole.steps) == 4
    pages = [lineage(limit=3, offset=offset) for offset in (0, 3, 6)]
    assert [len(page.steps) for page in pages] == [3, 1, 0]
    assert [step for page in pages for step in page.steps] == list(whole.steps)
    assert {page.total_count for page in pages} == {4}
    with invalid("limit", "offset"):
        lineage(limit=10_001, offset=-1)


def test_an_answer_that_is_too_large_says_what_to_ask_for_instead(serve: Serve) -> None:
    server = serve(MAX_MESSAGE_BYTES=100_000)
    with grpc.insecure_channel(server.address) as channel:
        graph = MemoryGraphServiceStub(channel)
        session = graph.CreateSession(pb.CreateSessionRequest()).id
        ids = [graph.AddPrompt(pb.AddPromptRequest(session_id=session, content="x" * 60_000)).id for _ in range(2)]
        for call in (
            lambda: graph.Query(pb.QueryRequest(session_id=session)),
            lambda: graph.BatchGetNodes(pb.BatchGetNodesRequest(node_ids=ids)),
            lambda: GraphQueryServiceStub(channel).Lineage(pb.LineageRequest(node_id=ids[1])),
            lambda: next(GraphQueryServiceStub(channel).Traverse(
                pb.TraverseRequest(start_node_ids=[ids[1]], edge_types=[pb.EDGE_TYPE_FOLLOWS]))),
        ):  # fmt: skip
            with refused(grpc.StatusCode.RESOURCE_EXHAUSTED) as refusal:
                call()
            assert "and a message at most 100,000 (MAX_MESSAGE_BYTES); ask for less at a time" in refusal.text
        assert len(list(graph.StreamQuery(pb.QueryRequest(session_id=session)))) == 2
        page = pb.LineageRequest(node_id=ids[1], limit=1)
        assert GraphQueryServiceStub(channel).Lineage(page).total_count == 3


def test_replay_puts_causes_first(graph_query: GraphQueryServiceStub, conversation: Conversation) -> None:
    c = conversation
    steps = list(graph_query.SessionReplay(pb.SessionReplayRequest(session_id=c.session)))
    order = [step.node.id for step in steps]
    assert order[0] == c.session
    assert set(order) == {c.session, *c.prompts, c.response, c.tool}
    for step in steps:
        for edge in step.edges:
            assert {edge.from_node_id, edge.to_node_id} <= set(order[: order.index(step.node.id) + 1])


def test_reads_at_an_earlier_time_see_the_graph_of_then(
    graph: MemoryGraphServiceStub, graph_query: GraphQueryServiceStub, conversation: Conversation
) -> None:
    c = conversation
    node = graph.GetNode(pb.GetNodeRequest(node_id=c.response))
    then = node.created_at
    node.response.content = "corrected"
    graph.UpdateNode(pb.UpdateNodeRequest(node=node))
    graph.DeleteNode(pb.DeleteNodeRequest(node_id=c.tool))

    def content(**at: Timestamp) -> list[str]:
        steps = graph_query.SessionReplay(pb.SessionReplayRequest(session_id=c.session, **at))
        return [step.node.response.content for step in steps if step.node.id == c.response]

    assert content() == ["corrected"]
    assert content(as_of=then) == ["Paris to Madrid"]
    with refused(grpc.StatusCode.NOT_FOUND):
        content(known_at=Timestamp(seconds=1))
    downstream = graph_query.Lineage(pb.LineageRequest(node_id=c.response, direction=pb.LINEAGE_DIRECTION_DOWNSTREAM))
    assert [step.node.id for step in downstream.steps] == [c.response]
