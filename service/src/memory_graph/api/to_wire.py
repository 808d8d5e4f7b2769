"""Converts the values of the model to messages of the wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from google.protobuf.timestamp_pb2 import Timestamp

from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb
from memory_graph.model.mutations import Event
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
    ResponseData,
    SessionData,
    TemplateData,
    ToolInvocationData,
)
from memory_graph.model.times import NS_PER_S


def timestamp(ns: int) -> Timestamp:
    """Convert nanoseconds since the epoch to a wire timestamp."""
    return Timestamp(seconds=ns // NS_PER_S, nanos=ns % NS_PER_S)


def _set_time(message: Timestamp, ns: int) -> None:
    message.seconds, message.nanos = divmod(ns, NS_PER_S)


def _fill_session(message: pb.Session, node: Node) -> None:
    data = node.data
    assert isinstance(data, SessionData)
    message.id = node.id
    _set_time(message.created_at, node.created_at)
    _set_time(message.updated_at, node.updated_at)
    message.metadata.update(data.metadata)
    message.is_active = data.is_active


def _fill_prompt(message: pb.PromptNode, node: Node) -> None:
    data = node.data
    assert isinstance(data, PromptData)
    message.id = node.id
    message.session_id = data.session_id
    message.content = data.content
    _set_time(message.timestamp, node.created_at)
    value = data.metadata
    if value is None:
        return
    metadata = message.metadata
    metadata.SetInParent()
    metadata.model = value.model
    metadata.temperature = value.temperature
    if value.max_tokens is not None:
        metadata.max_tokens = value.max_tokens
    metadata.tools_available.extend(value.tools_available)
    metadata.custom.update(value.custom)


def _fill_response(message: pb.ResponseNode, node: Node) -> None:
    data = node.data
    assert isinstance(data, ResponseData)
    message.id = node.id
    message.prompt_id = data.prompt_id
    message.content = data.content
    _set_time(message.timestamp, node.created_at)
    if data.token_usage is not None:
        message.token_usage.SetInParent()
        _fill_fields(message.token_usage, data.token_usage)
    if data.metadata is not None:
        message.metadata.SetInParent()
        _fill_fields(message.metadata, data.metadata)


def _fill_template(message: pb.TemplateNode, node: Node) -> None:
    data = node.data
    assert isinstance(data, TemplateData)
    message.id = node.id
    _set_time(message.created_at, node.created_at)
    _fill_fields(message, msgspec.structs.replace(data, variables=()))
    for variable in data.variables:
        _fill_fields(message.variables.add(), variable)


def _fill_timestamped(message: Any, node: Node) -> None:  # noqa: ANN401 - any arm with a timestamp
    message.id = node.id
    _set_time(message.timestamp, node.created_at)
    _fill_fields(message, node.data)


def _fill_created(message: Any, node: Node) -> None:  # noqa: ANN401 - any arm with created_at
    message.id = node.id
    _set_time(message.created_at, node.created_at)
    _fill_fields(message, node.data)


def _fill_fields(message: Any, value: msgspec.Struct) -> None:  # noqa: ANN401 - messages share no typed base
    """Set every field that has a value; a value and its message have the same field names."""
    for name in value.__struct_fields__:
        field = getattr(value, name)
        if isinstance(field, dict):
            getattr(message, name).update(field)
        elif isinstance(field, tuple):
            getattr(message, name).extend(field)
        elif field is not None:
            setattr(message, name, field)


_FILL: dict[type[NodeData], tuple[str, Callable[[Any, Node], None]]] = {
    PromptData: ("prompt", _fill_prompt),
    ResponseData: ("response", _fill_response),
    ToolInvocationData: ("tool_invocation", _fill_timestamped),
    AgentData: ("agent", _fill_created),
    TemplateData: ("template", _fill_template),
    SessionData: ("session", _fill_session),
    ModelData: ("model", _fill_created),
    InvocationData: ("invocation", _fill_timestamped),
    MetricData: ("metric", _fill_timestamped),
    ErrorData: ("error", _fill_timestamped),
}


def fill_node(message: pb.Node, node: Node) -> None:
    """Write a node into an empty message. In place: a message built and then copied costs three times as much."""
    arm, fill = _FILL[type(node.data)]
    message.id = node.id
    message.type = _enum(node.type)
    _set_time(message.created_at, node.created_at)
    fill(getattr(message, arm), node)


def node_to_wire(node: Node) -> pb.Node:
    """Convert a node to its message."""
    message = pb.Node()
    fill_node(message, node)
    return message


def session_to_wire(node: Node) -> pb.Session:
    message = pb.Session()
    _fill_session(message, node)
    return message


def prompt_to_wire(node: Node) -> pb.PromptNode:
    message = pb.PromptNode()
    _fill_prompt(message, node)
    return message


def response_to_wire(node: Node) -> pb.ResponseNode:
    message = pb.ResponseNode()
    _fill_response(message, node)
    return message


def tool_to_wire(node: Node) -> pb.ToolInvocationNode:
    message = pb.ToolInvocationNode()
    _fill_timestamped(message, node)
    return message


def template_to_wire(node: Node) -> pb.TemplateNode:
    message = pb.TemplateNode()
    _fill_template(message, node)
    return message


def _enum(value: int) -> Any:  # noqa: ANN401 - the generated stubs name classes that do not exist at run time
    return int(value)


def edge_to_wire(edge: Edge) -> pb.Edge:
    return pb.Edge(
        id=edge.id,
        from_node_id=edge.from_id,
        to_node_id=edge.to_id,
        type=_enum(edge.type),
        created_at=timestamp(edge.created_at),
        properties=edge.properties,
    )


_encode_json = msgspec.json.Encoder().encode


def event_to_wire(event: Event) -> pb.Event:
    """Convert an event; its payload names the node or edge (`id`, `kind`, `session_id`) and never carries content."""
    payload = {"id": event.subject_id, "kind": event.kind, "session_id": event.session_id}
    return pb.Event(
        id=event.id, type=_enum(event.type), timestamp=timestamp(event.at), payload=_encode_json(payload).decode()
    )
