"""The wire's messages as the model's values. Field by field, no rules: those are in `ingest.checks`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb
from memory_graph.ingest.checks import Checker, data_path, total_of
from memory_graph.model.kinds import EdgeType, NodeType
from memory_graph.model.nodes import (
    AgentData,
    Edge,
    ErrorData,
    InvocationData,
    MetricData,
    ModelData,
    Node,
    NodeData,
    PromptData,
    PromptMetadata,
    ResponseData,
    ResponseMetadata,
    SessionData,
    TemplateData,
    TokenUsage,
    ToolInvocationData,
    VariableSpec,
)

NODE_TYPES: frozenset[int] = frozenset(NodeType)
EDGE_TYPES: frozenset[int] = frozenset(EdgeType)
_NS = 1_000_000_000
MAX_TIMESTAMP_S = (1 << 63) // _NS - 1
"""The last second the graph can hold, in 2262."""


def nanoseconds(checker: Checker, field: str, value: Timestamp) -> int:
    """Return nanoseconds since the epoch; a time outside of 1970..2262 is a violation."""
    if not 0 <= value.seconds <= MAX_TIMESTAMP_S or not 0 <= value.nanos < _NS:
        checker.add(field, "must be a time between 1970-01-01 and 2262-04-11")
        return 0
    return value.seconds * _NS + value.nanos


def prompt_metadata(message: pb.PromptMetadata) -> PromptMetadata:
    return PromptMetadata(
        model=message.model,
        temperature=message.temperature,
        max_tokens=message.max_tokens if message.HasField("max_tokens") else None,
        tools_available=tuple(message.tools_available),
        custom=dict(message.custom),
    )


def response_metadata(message: pb.ResponseMetadata) -> ResponseMetadata:
    return ResponseMetadata(
        model=message.model,
        finish_reason=message.finish_reason,
        latency_ms=message.latency_ms,
        custom=dict(message.custom),
    )


def token_usage(message: pb.TokenUsage) -> TokenUsage:
    """Convert the usage; a total that is left out becomes the sum."""
    return TokenUsage(
        prompt_tokens=message.prompt_tokens,
        completion_tokens=message.completion_tokens,
        total_tokens=total_of(message.prompt_tokens, message.completion_tokens, message.total_tokens),
    )


def prompt_data(message: pb.PromptNode) -> PromptData:
    return PromptData(
        session_id=message.session_id.lower(),
        content=message.content,
        metadata=prompt_metadata(message.metadata) if message.HasField("metadata") else None,
    )


def response_data(message: pb.ResponseNode | pb.AddResponseRequest) -> ResponseData:
    return ResponseData(
        prompt_id=message.prompt_id.lower(),
        content=message.content,
        token_usage=token_usage(message.token_usage) if message.HasField("token_usage") else None,
        metadata=response_metadata(message.metadata) if message.HasField("metadata") else None,
    )


def tool_data(message: pb.ToolInvocationNode) -> ToolInvocationData:
    return ToolInvocationData(
        response_id=message.response_id.lower(),
        tool_name=message.tool_name,
        parameters=message.parameters,
        status=message.status,
        result=message.result if message.HasField("result") else None,
        error=message.error if message.HasField("error") else None,
        duration_ms=message.duration_ms,
        retry_count=message.retry_count,
        metadata=dict(message.metadata),
    )


def agent_data(message: pb.AgentNode) -> AgentData:
    return AgentData(
        name=message.name,
        role=message.role,
        capabilities=tuple(message.capabilities),
        status=message.status,
        metadata=dict(message.metadata),
    )


def _variable(message: pb.VariableSpec) -> VariableSpec:
    return VariableSpec(
        name=message.name,
        type_hint=message.type_hint,
        required=message.required,
        default_value=message.default_value if message.HasField("default_value") else None,
        validation_pattern=message.validation_pattern if message.HasField("validation_pattern") else None,
        description=message.description,
    )


def template_data(message: pb.TemplateNode) -> TemplateData:
    return TemplateData(
        name=message.name,
        template_text=message.template_text,
        variables=tuple(_variable(variable) for variable in message.variables),
        version=message.version,
        metadata=dict(message.metadata),
    )


def model_data(message: pb.ModelNode) -> ModelData:
    return ModelData(
        model_id=message.model_id,
        provider=message.provider,
        version=message.version,
        capabilities=tuple(message.capabilities),
        deprecated=message.deprecated,
        metadata=dict(message.metadata),
    )


def invocation_data(message: pb.InvocationNode) -> InvocationData:
    return InvocationData(
        model_id=message.model_id,
        provider=message.provider,
        status=message.status,
        token_count=message.token_count,
        latency_ms=message.latency_ms,
        metadata=dict(message.metadata),
    )


def metric_data(message: pb.MetricNode) -> MetricData:
    return MetricData(name=message.name, value=message.value, unit=message.unit, metadata=dict(message.metadata))


def error_data(message: pb.ErrorNode) -> ErrorData:
    return ErrorData(
        error_type=message.error_type,
        message=message.message,
        severity=message.severity,
        metadata=dict(message.metadata),
    )


def session_data(message: pb.Session) -> SessionData:
    return SessionData(metadata=dict(message.metadata), is_active=message.is_active)


_FROM_WIRE: dict[str, Callable[[Any], NodeData]] = {
    "prompt": prompt_data,
    "response": response_data,
    "tool_invocation": tool_data,
    "agent": agent_data,
    "template": template_data,
    "session": session_data,
    "model": model_data,
    "invocation": invocation_data,
    "metric": metric_data,
    "error": error_data,
}


def node_from_wire(
    checker: Checker, path: str, message: pb.Node, *, new_id: Callable[[], str], now: int
) -> Node | None:
    """Convert a node of a request, or add violations and return None.

    The id may stand in the node or in its data; a node without one gets a new id. created_at may stand in the node, or
    as the data's own time; a node without one was created `now`.
    """
    arm = message.WhichOneof("node_data")
    if arm is None:
        checker.add(
            f"{path}.node_data",
            "one of prompt, response, tool_invocation, agent, template, session … must be set",
        )
        return None
    if message.type not in NODE_TYPES:
        checker.add(f"{path}.type", f"{message.type} is no node type" if message.type else "must be specified")
        return None
    data = getattr(message, arm)
    if message.id and data.id and message.id.lower() != data.id.lower():
        checker.add(f"{data_path(path, arm)}.id", f"is {data.id}, the node's id is {message.id}")
    explicit_id = message.id or data.id
    id = checker.id(f"{path}.id", explicit_id) if explicit_id else new_id()
    time_field = "timestamp" if "timestamp" in data.DESCRIPTOR.fields_by_name else "created_at"
    created = now
    if message.HasField("created_at"):
        created = nanoseconds(checker, f"{path}.created_at", message.created_at)
    elif data.HasField(time_field):
        created = nanoseconds(checker, f"{data_path(path, arm)}.{time_field}", getattr(data, time_field))
    value = _FROM_WIRE[arm](data)
    session_id = id if arm == "session" else value.session_id if isinstance(value, PromptData) else None
    return Node(
        id=id, type=NodeType(message.type), data=value, created_at=created, updated_at=now, session_id=session_id
    )


def edge_from_wire(
    checker: Checker, path: str, message: pb.Edge, *, new_id: Callable[[], str], now: int
) -> Edge | None:
    """Convert an edge of a request, or add violations and return None."""
    if message.type not in EDGE_TYPES:
        checker.add(f"{path}.type", f"{message.type} is no edge type" if message.type else "must be specified")
        return None
    return Edge(
        id=checker.id(f"{path}.id", message.id) if message.id else new_id(),
        type=EdgeType(message.type),
        from_id=message.from_node_id.lower(),
        to_id=message.to_node_id.lower(),
        created_at=nanoseconds(checker, f"{path}.created_at", message.created_at)
        if message.HasField("created_at")
        else now,
        properties=dict(message.properties),
    )
