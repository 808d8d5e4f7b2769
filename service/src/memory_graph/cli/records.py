"""Nodes and edges as JSON objects: the lines of import and export, and what `--json` prints."""

from __future__ import annotations

import json
import math
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb
from memory_graph.ingest.timestamps import nanoseconds
from memory_graph.model.errors import shortened

Record = dict[str, Any]

ARMS = {
    "session": "session",
    "prompt": "prompt",
    "response": "response",
    "tool_invocation": "tool_invocation",
    "agent": "agent",
    "template": "template",
    "model": "model",
    "model_version": "model",
    "invocation": "invocation",
    "performance_metric": "metric",
    "error": "error",
}
"""The field of Node.node_data that each kind of record fills."""
JSON_TEXT = ("parameters", "result")
"""Fields that hold JSON as text; a record may give them as JSON."""
_OWN_TIMES = ("timestamp", "created_at")
KEPT_BY_SERVER = ("usage_count", "updated_at")
"""Fields that a writer cannot set; a record may carry them."""


class RecordError(ValueError):
    """A record is not what the format allows; the text names the field."""


def record_of_node(node: pb.Node) -> Record:
    """A node as a record: kind, id, created_at, then its own fields; fields at their default are left out."""
    kind = pb.NodeType.Name(node.type).removeprefix("NODE_TYPE_").lower()
    data = _fields(getattr(node, ARMS[kind]))
    for name in ("id", *_OWN_TIMES):
        data.pop(name, None)
    if kind == "session":
        data["is_active"] = node.session.is_active
    return {"kind": kind, "id": node.id, "created_at": node.created_at.ToJsonString(), **data}


def record_of_edge(edge: pb.Edge) -> Record:
    """An edge as a record."""
    return {
        "kind": "edge",
        "id": edge.id,
        "created_at": edge.created_at.ToJsonString(),
        "type": pb.EdgeType.Name(edge.type).removeprefix("EDGE_TYPE_"),
        "from_id": edge.from_node_id,
        "to_id": edge.to_node_id,
        **({"properties": dict(edge.properties)} if edge.properties else {}),
    }


def node_of_record(record: Record) -> pb.Node:
    """The node a record describes.

    Raises:
        RecordError: an unknown kind or field, or a value of the wrong type.
    """
    kind = record.get("kind")
    if kind not in ARMS:
        raise RecordError(f"kind is {kind!r}; it must be one of {', '.join(ARMS)}, edge")
    node = pb.Node(type=f"NODE_TYPE_{kind.upper()}")
    _head(record, node)
    data = getattr(node, ARMS[kind])
    data.SetInParent()
    field_names = {field.name for field in data.DESCRIPTOR.fields} - {"id", *_OWN_TIMES}
    fields = {name: value for name, value in record.items() if name not in ("kind", "ref", "id", "created_at")}
    unknown = sorted(fields.keys() - field_names)
    if unknown:
        raise RecordError(f"a {kind} has no field {unknown[0]!r}; it has {', '.join(sorted(field_names))}")
    if kind == "session":
        fields.setdefault("is_active", True)
    for name in KEPT_BY_SERVER:
        fields.pop(name, None)
    _parse(fields, data)
    return node


def edge_of_record(record: Record) -> pb.Edge:
    """The edge a record describes.

    Raises:
        RecordError: an unknown type or field, or a value of the wrong type.
    """
    field_names = {"kind", "id", "created_at", "type", "from_id", "to_id", "properties"}
    unknown = sorted(record.keys() - field_names)
    if unknown:
        raise RecordError(f"an edge has no field {unknown[0]!r}; it has {', '.join(sorted(field_names))}")
    names = [name.removeprefix("EDGE_TYPE_") for name in pb.EdgeType.keys()[1:]]
    if record.get("type") not in names:
        raise RecordError(f"type is {record.get('type')!r}; it must be one of {', '.join(names)}")
    edge = pb.Edge(type=f"EDGE_TYPE_{record['type']}")
    _head(record, edge)
    endpoints = {"from_node_id": record.get("from_id"), "to_node_id": record.get("to_id")}
    for name, value in endpoints.items():
        if not value:
            raise RecordError(f"{name.replace('_node', '')} is missing")
    _parse({**endpoints, "properties": record.get("properties") or {}}, edge)
    return edge


def _excerpt(value: object) -> str:
    return shortened(json.dumps(value, ensure_ascii=False), 100)


def _head(record: Record, message: pb.Node | pb.Edge) -> None:
    if record.get("id") is not None:
        _parse({"id": record["id"]}, message)
    at = record.get("created_at")
    if at is None:
        return
    try:
        ns = nanoseconds(at) if isinstance(at, str) else None
    except ValueError:
        ns = None
    if ns is None:
        raise RecordError(
            f"created_at is {_excerpt(at)}; it must be a time from 1970 to 2262 such as 2026-03-01T10:00:00Z (RFC 3339)"
        )
    message.created_at.FromNanoseconds(ns)


def _parse(fields: Record, message: Message) -> None:
    try:
        ParseDict(fields, message)
    except ParseError as error:
        raise RecordError(" ".join(str(error).split())) from None


def _fields(message: Message) -> Record:
    return {field.name: _value(field, value) for field, value in message.ListFields()}


def _value(field: FieldDescriptor, value: Any) -> object:  # noqa: ANN401 - whatever a field holds
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return dict(sorted(value.items()))
    if field.is_repeated:
        return [_single(item) for item in value]
    return _single(value)


def _single(value: object) -> object:
    match value:
        case Timestamp():
            return value.ToJsonString()
        case Message():
            return _fields(value)
        case float() if not math.isfinite(value):
            return str(value).replace("inf", "Infinity").replace("nan", "NaN")
        case _:
            return value
