"""Bad input is INVALID_ARGUMENT with every field named, or NOT_FOUND with what is missing; nothing is half done."""

from __future__ import annotations

import urllib.parse
import uuid

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb
from memory_graph.gen.llm.memory.graph.v1.memory_graph_pb2_grpc import MemoryGraphServiceStub
from support.refusals import invalid, refused


@pytest.fixture(scope="module")
def session(graph: MemoryGraphServiceStub) -> str:
    return graph.CreateSession(pb.CreateSessionRequest()).id


def test_unknown_parents_are_not_found(graph: MemoryGraphServiceStub) -> None:
    nowhere = str(uuid.uuid4())
    with refused(grpc.StatusCode.NOT_FOUND) as refusal:
        graph.AddPrompt(pb.AddPromptRequest(session_id=nowhere, content="x"))
    assert nowhere in refusal.text
    with refused(grpc.StatusCode.NOT_FOUND):
        graph.AddResponse(pb.AddResponseRequest(prompt_id=nowhere, content="x"))
    tool = pb.ToolInvocationNode(response_id=nowhere, tool_name="t")
    with refused(grpc.StatusCode.NOT_FOUND):
        graph.AddToolInvocation(pb.AddToolInvocationRequest(tool_invocation=tool))
    edge = pb.Edge(from_node_id=nowhere, to_node_id=nowhere, type=pb.EDGE_TYPE_REFERENCES)
    with refused(grpc.StatusCode.NOT_FOUND):
        graph.CreateEdge(pb.CreateEdgeRequest(edge=edge))


def test_a_response_needs_a_prompt_and_a_tool_a_response(graph: MemoryGraphServiceStub, session: str) -> None:
    with refused(grpc.StatusCode.NOT_FOUND):
        graph.AddResponse(pb.AddResponseRequest(prompt_id=session, content="x"))
    prompt = graph.AddPrompt(pb.AddPromptRequest(session_id=session, content="x")).id
    with refused(grpc.StatusCode.NOT_FOUND):
        tool = pb.ToolInvocationNode(response_id=prompt, tool_name="t")
        graph.AddToolInvocation(pb.AddToolInvocationRequest(tool_invocation=tool))


def test_empty_and_malformed_ids(graph: MemoryGraphServiceStub) -> None:
    with invalid("session_id", "content") as refusal:
        graph.AddPrompt(pb.AddPromptRequest())
    assert refusal.fields["content"] == "must not be empty"
    for wrong in ("", "x", "0198f3a2-7c44-7bd1-9f0e", "{0198f3a2-7c44-7bd1-9f0e-3b8f2f1c5a77}"):
        with invalid("session_id"):
            graph.GetSession(pb.GetSessionRequest(session_id=wrong))
        with invalid("node_id"):
            graph.GetNode(pb.GetNodeRequest(node_id=wrong))
        with invalid("edge_id"):
            graph.DeleteEdge(pb.DeleteEdgeRequest(edge_id=wrong))
    with invalid("node_ids[1]"):
        graph.BatchGetNodes(pb.BatchGetNodesRequest(node_ids=[str(uuid.uuid4()), "x"]))


def test_ids_are_case_insensitive(graph: MemoryGraphServiceStub, session: str) -> None:
    assert graph.GetSession(pb.GetSessionRequest(session_id=session.upper())).id == session


def test_content_over_a_million_bytes(graph: MemoryGraphServiceStub, session: str) -> None:
    graph.AddPrompt(pb.AddPromptRequest(session_id=session, content="x" * 1_000_000))
    with invalid("content") as refusal:
        graph.AddPrompt(pb.AddPromptRequest(session_id=session, content="x" * 1_000_001))
    assert "1,000,001 bytes" in refusal.fields["content"]
    with invalid("content"):
        graph.AddPrompt(pb.AddPromptRequest(session_id=session, content="é" * 500_001))


def test_an_oversized_message_is_refused_before_it_is_read(graph: MemoryGraphServiceStub, session: str) -> None:
    request = pb.AddPromptRequest(session_id=session, content="x" * (16 * 1024 * 1024))
    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED) as refusal:
        graph.AddPrompt(request)
    assert "larger than max" in refusal.text


def test_text_that_is_not_utf8(channel: grpc.Channel, session: str) -> None:
    good = pb.AddPromptRequest(session_id=session, content="AAAA").SerializeToString()
    invoke = channel.unary_unary("/llm.memory.graph.v1.MemoryGraphService/AddPrompt")
    with invalid("request") as refusal:
        invoke(good.replace(b"AAAA", b"\xff\xfe\xfd\xfc"))
    assert "UTF-8" in refusal.fields["request"]
    with invalid("request"):
        invoke(b"\x0a\xff\xff\xff\xff")


def test_json_fields_must_be_json(graph: MemoryGraphServiceStub, session: str) -> None:
    prompt = graph.AddPrompt(pb.AddPromptRequest(session_id=session, content="x")).id
    response = graph.AddResponse(pb.AddResponseRequest(prompt_id=prompt, content="x")).id
    tool = pb.ToolInvocationNode(
        response_id=response, tool_name="t", parameters="{", result="nope", duration_ms=-1, retry_count=-1
    )
    with invalid(
        "tool_invocation.parameters",
        "tool_invocation.result",
        "tool_invocation.duration_ms",
        "tool_invocation.retry_count",
    ):
        graph.AddToolInvocation(pb.AddToolInvocationRequest(tool_invocation=tool))


def test_type_and_data_must_agree(graph: MemoryGraphServiceStub, session: str) -> None:
    prompt = pb.PromptNode(session_id=session, content="x")
    with invalid("node.type"):
        graph.CreateNode(pb.CreateNodeRequest(node=pb.Node(type=pb.NODE_TYPE_AGENT, prompt=prompt)))
    with invalid("node.type"):
        graph.CreateNode(pb.CreateNodeRequest(node=pb.Node(prompt=prompt)))
    with invalid("node.type"):
        graph.CreateNode(pb.CreateNodeRequest(node=pb.Node(type=77, prompt=prompt)))
    with invalid("node.node_data"):
        graph.CreateNode(pb.CreateNodeRequest(node=pb.Node(type=pb.NODE_TYPE_PROMPT)))
    with invalid("node.node_data"):
        graph.CreateNode(pb.CreateNodeRequest())
    prompt.id = str(uuid.uuid4())
    with invalid("node.prompt.id"):
        node = pb.Node(id=str(uuid.uuid4()), type=pb.NODE_TYPE_PROMPT, prompt=prompt)
        graph.CreateNode(pb.CreateNodeRequest(node=node))


def test_an_unspecified_edge_type(graph: MemoryGraphServiceStub, session: str) -> None:
    with invalid("edge.type"):
        graph.CreateEdge(pb.CreateEdgeRequest(edge=pb.Edge(from_node_id=session, to_node_id=session)))
    with invalid("edge.from_node_id", "edge.to_node_id"):
        graph.CreateEdge(pb.CreateEdgeRequest(edge=pb.Edge(type=pb.EDGE_TYPE_FOLLOWS)))
    with invalid("type", "direction"):
        graph.GetEdges(pb.GetEdgesRequest(node_id=session, type=pb.EDGE_TYPE_UNSPECIFIED, direction=9))


def test_times_the_graph_cannot_hold(graph: MemoryGraphServiceStub, session: str) -> None:
    prompt = pb.PromptNode(session_id=session, content="x", timestamp=Timestamp(seconds=1 << 40))
    with invalid("node.prompt.timestamp"):
        graph.CreateNode(pb.CreateNodeRequest(node=pb.Node(type=pb.NODE_TYPE_PROMPT, prompt=prompt)))


def test_references_must_be_ids_of_nodes(graph: MemoryGraphServiceStub, session: str) -> None:
    metadata = pb.PromptMetadata(custom={"agent_id": "planner"})
    with invalid("metadata[agent_id]"):
        graph.AddPrompt(pb.AddPromptRequest(session_id=session, content="x", metadata=metadata))
    before = graph.Query(pb.QueryRequest(session_id=session)).total_count
    metadata = pb.PromptMetadata(custom={"references": str(uuid.uuid4())})
    with refused(grpc.StatusCode.NOT_FOUND):
        graph.AddPrompt(pb.AddPromptRequest(session_id=session, content="x", metadata=metadata))
    assert graph.Query(pb.QueryRequest(session_id=session)).total_count == before


def test_list_sessions_limits(graph: MemoryGraphServiceStub) -> None:
    with invalid("limit", "offset"):
        graph.ListSessions(pb.ListSessionsRequest(limit=10_001, offset=-1))


LONG = "y" * 20_000
WIDE = "é" * 20_000
NOWHERE = "0198f3a2-7c44-7bd1-9f0e-3b8f2f1c5a77"


@pytest.mark.parametrize("text", [LONG, WIDE, "%" * 20_000, "\U0001f600" * 20_000, "\n" * 20_000])
@pytest.mark.parametrize("call", [
    lambda graph, text: graph.BatchGetNodes(pb.BatchGetNodesRequest(node_ids=[f"order-{i}" for i in range(10_000)])),
    lambda graph, text: graph.BatchCreateNodes(pb.BatchCreateNodesRequest(
        nodes=[pb.Node(type=2, prompt=pb.PromptNode(session_id=NOWHERE))] * 300)),
    lambda graph, text: graph.CreateTemplate(pb.CreateTemplateRequest(template=pb.TemplateNode(
        name="n", template_text="{{a}}", variables=[pb.VariableSpec(name="a", validation_pattern=f"({text}")]))),
    lambda graph, text: graph.CreateTemplate(pb.CreateTemplateRequest(template=pb.TemplateNode(
        name="n", template_text="{{a}}", variables=[pb.VariableSpec(name=text)] * 2))),
    lambda graph, text: graph.Query(pb.QueryRequest(filters={text: "v"})),
    lambda graph, text: next(graph.StreamQuery(pb.QueryRequest(filters={f"{text}{i}": "v" for i in range(20)}))),
    lambda graph, text: next(graph.StreamEvents(pb.StreamEventsRequest(event_types=[99] * 5_000))),
    lambda graph, text: graph.AddPrompt(pb.AddPromptRequest(
        session_id=NOWHERE, content="x", metadata=pb.PromptMetadata(custom={"agent_id": text.strip() or LONG}))),
    lambda graph, text: graph.CreateNode(pb.CreateNodeRequest(node=pb.Node(
        id=f"a{text}", type=2, prompt=pb.PromptNode(id=f"b{text}", session_id=NOWHERE, content="x")))),
], ids=["ids", "nodes", "pattern", "variable", "filter", "filters", "types", "agent", "node"])  # fmt: skip
def test_a_long_error_is_told_by_its_first_faults_within_8_kib(graph: MemoryGraphServiceStub, call, text) -> None:
    with refused(grpc.StatusCode.INVALID_ARGUMENT) as refusal:
        call(graph, text)
    assert refusal.fields, "the first faults are named by their fields"
    details = refusal.trailing["grpc-status-details-bin"]
    assert len(details) * 4 / 3 + len(urllib.parse.quote(refusal.text)) < 8 * 1024


def test_a_long_error_says_how_many_faults_more_there_are(graph: MemoryGraphServiceStub) -> None:
    with refused(grpc.StatusCode.INVALID_ARGUMENT) as refusal:
        graph.BatchGetNodes(pb.BatchGetNodesRequest(node_ids=[f"order-{i:06}" for i in range(100)]))
    assert refusal.text.startswith("node_ids[0]: must be a UUID such as")
    listed = len(refusal.text.split("; ")) - 1
    assert refusal.text.endswith(f"; and {100 - listed} more")
    assert refusal.fields["node_ids[0]"].startswith("must be a UUID")


def test_what_is_long_in_an_error_loses_its_middle_and_not_the_way_out(graph: MemoryGraphServiceStub) -> None:
    with refused(grpc.StatusCode.INVALID_ARGUMENT) as refusal:
        graph.Query(pb.QueryRequest(filters={LONG: "v"}))
    assert "is no filter; filters are model, status" in refusal.text


def test_an_unknown_template_variable_is_told_however_long_the_names_are(
    graph: MemoryGraphServiceStub, session
) -> None:
    names = [f"variable_{i:03}_{'x' * 100}" for i in range(200)]
    text = " ".join(f"{{{{{name}}}}}" for name in names)
    template = pb.TemplateNode(name="n", template_text=text)
    id = graph.CreateTemplate(pb.CreateTemplateRequest(template=template)).id
    with refused(grpc.StatusCode.INVALID_ARGUMENT) as refusal:
        graph.InstantiateTemplate(pb.InstantiateTemplateRequest(
            template_id=id, session_id=session, variable_values={LONG: "v"}))  # fmt: skip
    assert "the template has no such variable; it has variable_000" in refusal.text


@pytest.fixture(scope="module")
def prompt(graph: MemoryGraphServiceStub, session: str) -> str:
    return graph.AddPrompt(pb.AddPromptRequest(session_id=session, content="x")).id


@pytest.mark.parametrize("reason", ["tool_calls", "tool_use", "function_call", "TOOL_CALLS"])
def test_a_response_that_only_calls_tools_has_no_text(graph: MemoryGraphServiceStub, prompt: str, reason: str) -> None:
    metadata = pb.ResponseMetadata(finish_reason=reason)
    added = graph.AddResponse(pb.AddResponseRequest(prompt_id=prompt, content="", metadata=metadata))
    stored = graph.GetNode(pb.GetNodeRequest(node_id=added.id))
    assert (stored.response.content, stored.response.metadata.finish_reason) == ("", reason)
    again = graph.CreateNode(pb.CreateNodeRequest(node=stored))
    assert again == stored


@pytest.mark.parametrize("reason", ["", "stop", "length"])
def test_any_other_response_without_text_is_refused(graph: MemoryGraphServiceStub, prompt: str, reason: str) -> None:
    with invalid("content") as refusal:
        metadata = pb.ResponseMetadata(finish_reason=reason)
        graph.AddResponse(pb.AddResponseRequest(prompt_id=prompt, metadata=metadata))
    assert "tool_calls" in refusal.fields["content"]


@pytest.mark.parametrize("depth", [501, 1_000, 100_000])
@pytest.mark.parametrize("field", ["parameters", "result"])
@pytest.mark.parametrize("pair", [("[", "]"), ('{"a":', "}")])
def test_json_nested_without_end_is_refused_by_name(graph: MemoryGraphServiceStub, field, depth, pair) -> None:
    text = pair[0] * depth + "1" + pair[1] * depth
    node = pb.ToolInvocationNode(response_id=NOWHERE, tool_name="t", **{field: text})
    with invalid(f"tool_invocation.{field}") as refusal:
        graph.AddToolInvocation(pb.AddToolInvocationRequest(tool_invocation=node))
    assert refusal.fields[f"tool_invocation.{field}"].startswith("is nested more than 500 deep")


def test_latencies_and_totals_that_cannot_be_are_refused(graph: MemoryGraphServiceStub, prompt: str) -> None:
    def add(**fields: object) -> pb.ResponseNode:
        return graph.AddResponse(pb.AddResponseRequest(prompt_id=prompt, content="x", **fields))

    with invalid("metadata.latency_ms"):
        add(metadata=pb.ResponseMetadata(latency_ms=-1))
    with invalid("token_usage.prompt_tokens"):
        add(token_usage=pb.TokenUsage(prompt_tokens=-1, completion_tokens=4))
    for total in (1, 6):
        with invalid("token_usage.total_tokens"):
            add(token_usage=pb.TokenUsage(prompt_tokens=3, completion_tokens=4, total_tokens=total))
    for total, stored in ((0, 7), (7, 7), (100, 100)):
        response = add(token_usage=pb.TokenUsage(prompt_tokens=3, completion_tokens=4, total_tokens=total))
        assert response.token_usage.total_tokens == stored
    most = 2**63 - 1
    response = add(token_usage=pb.TokenUsage(prompt_tokens=most, completion_tokens=most))
    assert response.token_usage.total_tokens == most
    for temperature in (-1.0, float("nan"), float("inf")):
        with invalid("metadata.temperature"):
            metadata = pb.PromptMetadata(temperature=temperature)
            graph.AddPrompt(pb.AddPromptRequest(session_id=NOWHERE, content="x", metadata=metadata))
    for latency in (-1.0, float("nan"), float("inf")):
        with invalid("node.invocation.latency_ms"):
            node = pb.Node(type=9, invocation=pb.InvocationNode(model_id="m", latency_ms=latency))
            graph.CreateNode(pb.CreateNodeRequest(node=node))
    with invalid("node.invocation.token_count"):
        graph.CreateNode(pb.CreateNodeRequest(node=pb.Node(
            type=9, invocation=pb.InvocationNode(model_id="m", token_count=-1))))  # fmt: skip


@pytest.mark.parametrize("after", ["1_0.0", "1.0_0", " 1.0", "+1.0", "1", "-1.0", "9" * 999 + ".0", "1." + "9" * 5_000])
def test_a_feed_position_is_two_decimal_numbers(graph: MemoryGraphServiceStub, after: str) -> None:
    with invalid("last-event-id"):
        next(graph.StreamEvents(pb.StreamEventsRequest(), metadata=(("last-event-id", after),)))
