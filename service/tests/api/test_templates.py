"""Templates over gRPC (contract §1, InstantiateTemplate)."""

from __future__ import annotations

import uuid

import grpc

from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb
from memory_graph.gen.llm.memory.graph.v1.memory_graph_pb2_grpc import MemoryGraphServiceStub
from support.refusals import invalid, refused


def create(graph: MemoryGraphServiceStub, text: str, *variables: pb.VariableSpec, parent: str = "") -> str:
    template = pb.TemplateNode(name="t", template_text=text, variables=variables, version="1")
    if parent:
        template.metadata["parent_id"] = parent
    return graph.CreateTemplate(pb.CreateTemplateRequest(template=template)).id


def instantiate(graph: MemoryGraphServiceStub, template: str, session: str = "", **values: str) -> pb.PromptNode:
    session = session or graph.CreateSession(pb.CreateSessionRequest()).id
    request = pb.InstantiateTemplateRequest(template_id=template, session_id=session, variable_values=values)
    return graph.InstantiateTemplate(request)


def test_variables_are_replaced_and_defaults_honoured(graph: MemoryGraphServiceStub) -> None:
    template = create(
        graph,
        "From {{ from }} to {{to}} by {{means}}{{note}}",
        pb.VariableSpec(name="from", required=True),
        pb.VariableSpec(name="means", default_value="train"),
        pb.VariableSpec(name="note"),
    )
    prompt = instantiate(graph, template, **{"from": "Paris", "to": "Madrid"})
    assert prompt.content == "From Paris to Madrid by train"
    edges = graph.GetEdges(pb.GetEdgesRequest(node_id=prompt.id, type=pb.EDGE_TYPE_INSTANTIATES)).edges
    assert [edge.to_node_id for edge in edges] == [template]


def test_a_value_is_never_expanded_again(graph: MemoryGraphServiceStub) -> None:
    template = create(graph, "{{a}} {{b}}")
    assert instantiate(graph, template, a="{{b}}", b="{{a}}\\1").content == "{{b}} {{a}}\\1"


def test_all_missing_variables_are_named_in_one_error(graph: MemoryGraphServiceStub) -> None:
    template = create(graph, "{{a}} {{b}} {{c}}", pb.VariableSpec(name="a", required=True), pb.VariableSpec(name="c"))
    with invalid("variable_values", "variable_values[z]") as refusal:
        instantiate(graph, template, z="1")
    assert "a, b" in refusal.fields["variable_values"]


def test_a_validation_pattern_is_a_full_match_in_linear_time(graph: MemoryGraphServiceStub) -> None:
    template = create(
        graph,
        "{{code}} {{evil}}",
        pb.VariableSpec(name="code", validation_pattern="[A-Z]{3}"),
        pb.VariableSpec(name="evil", validation_pattern="(a+)+b"),
    )
    assert instantiate(graph, template, code="ABC").content == "ABC "
    for wrong in ("ABCD", "xABC", "ABC\n"):
        with invalid("variable_values[code]"):
            instantiate(graph, template, code=wrong)
    with invalid("variable_values[evil]"):
        instantiate(graph, template, code="ABC", evil="a" * 50_000)


def test_a_child_inherits_text_blocks_and_variables(graph: MemoryGraphServiceStub) -> None:
    parent = create(
        graph,
        "{% block greeting %}Hello {{name}}{% endblock %}, {% block ask %}how are you?{% endblock %}",
        pb.VariableSpec(name="name", default_value="you"),
    )
    child = create(graph, "{% block ask %}where to, {{name}}?{% endblock %}", parent=parent)
    grandchild = create(graph, "By {{means}}.", pb.VariableSpec(name="means", default_value="bus"), parent=child)
    assert instantiate(graph, parent).content == "Hello you, how are you?"
    assert instantiate(graph, child, name="Ada").content == "Hello Ada, where to, Ada?"
    assert instantiate(graph, grandchild).content == "Hello you, where to, you?\nBy bus."
    edges = graph.GetEdges(pb.GetEdgesRequest(node_id=child, type=pb.EDGE_TYPE_INHERITS)).edges
    assert {edge.to_node_id for edge in edges} == {parent, child}


def test_usage_count_rises_by_one_per_instantiation(graph: MemoryGraphServiceStub) -> None:
    template = create(graph, "hi")
    for _ in range(3):
        instantiate(graph, template)
    with refused(grpc.StatusCode.NOT_FOUND):
        instantiate(graph, template, session=str(uuid.uuid4()))
    stored = graph.GetNode(pb.GetNodeRequest(node_id=template))
    assert stored.template.usage_count == 3
    stored.template.usage_count = 99
    stored.template.template_text = "ho"
    assert graph.UpdateNode(pb.UpdateNodeRequest(node=stored)).template.usage_count == 3


def test_wrong_templates_are_refused_when_they_are_created(graph: MemoryGraphServiceStub) -> None:
    with invalid("template.name", "template.template_text"):
        graph.CreateTemplate(pb.CreateTemplateRequest())
    with invalid("template.variables[1].name", "template.variables[1].validation_pattern"):
        create(graph, "{{a}}", pb.VariableSpec(name="a"), pb.VariableSpec(name="a", validation_pattern="("))
    with refused(grpc.StatusCode.NOT_FOUND):
        create(graph, "x", parent=str(uuid.uuid4()))
    with refused(grpc.StatusCode.NOT_FOUND):
        instantiate(graph, str(uuid.uuid4()))
