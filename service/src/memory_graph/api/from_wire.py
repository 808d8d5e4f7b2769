"""Converts the wire's data messages to the model's values, field by field and without rules (see `requests`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb
from memory_graph.ingest.checks import total_of
from memory_graph.model.nodes import (
    AgentData,
    ErrorData,
    InvocationData,
    MetricData,
    ModelData,
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


DATA_FROM_WIRE: dict[str, Callable[[Any], NodeData]] = {
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
"""The conversion of each arm of a node's data."""
