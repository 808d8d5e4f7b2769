# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The few messages of ``llm.memory.graph.v1`` a smoke test needs, made from their field numbers.

The numbers are the wire contract's and fixed, so nothing is generated and the collection stays free of the service's
package: whatever Python an execution environment has, protobuf and grpcio are enough. Fields that are left out are
unknown fields on the wire, which protobuf skips.
"""

from __future__ import annotations

from typing import Any

try:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
except ImportError:  # the module names the missing library
    descriptor_pb2 = None  # type: ignore[assignment]

PACKAGE = "llm.memory.graph.v1"
SERVICE = f"/{PACKAGE}.MemoryGraphService"
# message: {field: number}; every field is a string, but those of _TYPED, which are (message, whether repeated)
_FIELDS: dict[str, dict[str, int]] = {
    "Empty": {},
    "MetadataEntry": {"key": 1, "value": 2},
    "CreateSessionRequest": {},
    "SessionRequest": {"session_id": 1},
    "Session": {"id": 1},
    "AddPromptRequest": {"session_id": 1, "content": 2},
    "PromptNode": {"id": 1, "session_id": 2, "content": 3},
    "GetNodeRequest": {"node_id": 1},
    "Node": {"id": 1, "prompt": 10},
    "QueryRequest": {"session_id": 1, "filters": 7},
    "QueryResponse": {"nodes": 1},
}
_TYPED = {
    ("Node", "prompt"): ("PromptNode", False),
    ("QueryRequest", "filters"): ("MetadataEntry", True),
    ("QueryResponse", "nodes"): ("Node", True),
}


def messages() -> dict[str, Any]:
    """Returns the message classes by name, in a descriptor pool of their own.

    A map field is, on the wire, a repeated message of key and value, so ``filters`` is one here.
    """
    file = descriptor_pb2.FileDescriptorProto(name="smoke_test.proto", package="smoke_test", syntax="proto3")
    Kind = descriptor_pb2.FieldDescriptorProto  # noqa: N806 - a class
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, number in fields.items():
            type_name, repeated = _TYPED.get((name, field), ("", False))
            entry = message.field.add(name=field, number=number)
            entry.type = Kind.TYPE_MESSAGE if type_name else Kind.TYPE_STRING
            entry.label = Kind.LABEL_REPEATED if repeated else Kind.LABEL_OPTIONAL
            if type_name:
                entry.type_name = f".smoke_test.{type_name}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"smoke_test.{name}"))
            for name in _FIELDS}  # fmt: skip
