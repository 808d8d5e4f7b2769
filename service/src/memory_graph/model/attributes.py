"""The filterable attributes and the searchable text of a node. Pure functions of its data."""

from __future__ import annotations

from collections.abc import Iterator

from memory_graph.model.nodes import (
    AgentData,
    ErrorData,
    InvocationData,
    MetricData,
    ModelData,
    NodeData,
    PromptData,
    ResponseData,
    TemplateData,
    ToolInvocationData,
)

FILTER_KEYS = ("model", "status", "tool_name", "finish_reason")
"""Filter keys without a prefix (contract §1, Query)."""
FILTER_PREFIXES = ("metadata.", "custom.")


def attributes(data: NodeData) -> Iterator[tuple[str, str]]:
    """Yield (filter key, value) for each attribute that Query may filter by. Empty values are left out."""
    for name, value in _named(data):
        if value:
            yield name, value
    if not isinstance(data, PromptData | ResponseData):
        for key, value in data.metadata.items():
            yield f"metadata.{key}", value


def _named(data: NodeData) -> Iterator[tuple[str, str]]:
    match data:
        case PromptData(metadata=metadata) if metadata is not None:
            yield "model", metadata.model
            yield from ((f"custom.{key}", value) for key, value in metadata.custom.items())
        case ResponseData(metadata=metadata) if metadata is not None:
            yield "model", metadata.model
            yield "finish_reason", metadata.finish_reason
            yield from ((f"custom.{key}", value) for key, value in metadata.custom.items())
        case ToolInvocationData():
            yield "tool_name", data.tool_name
            yield "status", data.status
        case AgentData():
            yield "status", data.status
        case ModelData():
            yield "model", data.model_id
        case InvocationData():
            yield "model", data.model_id
            yield "status", data.status


def text(data: NodeData) -> str:
    """Return the text that full-text search finds a node by; empty if it has none."""
    match data:
        case PromptData() | ResponseData():
            return data.content
        case ToolInvocationData():
            return " ".join(part for part in (data.tool_name, data.parameters, data.result, data.error) if part)
        case AgentData():
            return f"{data.name} {data.role}"
        case TemplateData():
            return f"{data.name} {data.template_text}"
        case ModelData():
            return f"{data.model_id} {data.provider}"
        case MetricData():
            return data.name
        case ErrorData():
            return f"{data.error_type} {data.message}"
        case _:
            return ""
