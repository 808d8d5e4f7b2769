"""The wire is the contract's field table: descriptors agree with it, and a client made from it alone works."""

from __future__ import annotations

import re
from pathlib import Path

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, empty_pb2, message_factory, timestamp_pb2
from google.protobuf.descriptor import FieldDescriptor

from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb

TABLE = (Path(__file__).parents[3] / "docs" / "reference" / "contract.md").read_text()
PACKAGE = "llm.memory.graph.v1"
SCALARS = {
    "string": FieldDescriptor.TYPE_STRING,
    "bool": FieldDescriptor.TYPE_BOOL,
    "double": FieldDescriptor.TYPE_DOUBLE,
    "int32": FieldDescriptor.TYPE_INT32,
    "int64": FieldDescriptor.TYPE_INT64,
}


def rows(header: str) -> list[list[str]]:
    block = TABLE[TABLE.index(f"| {header}") :].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in block.split("\n")[2:] if line]


METHODS = rows("rpc")
MESSAGES = rows("message")
ENUMS = rows("enum")


def fields(cell: str) -> list[tuple[int, str, str, str, str]]:
    """(number, name, label, type, oneof) of every field in a cell."""
    parsed = []
    for part in cell.split("; "):
        match = re.fullmatch(
            r"(\d+) (\w+) (?:(optional|repeated) )?(map<string, string>|[\w.]+)(?: \(oneof (\w+)\))?", part
        )
        assert match, part
        number, name, label, kind, oneof = match.groups()
        parsed.append((int(number), name, label or "", kind, oneof or ""))
    return parsed


def from_table() -> descriptor_pb2.FileDescriptorProto:
    """A proto file that holds nothing but what the table says."""
    file = descriptor_pb2.FileDescriptorProto(name="table.proto", package=PACKAGE, syntax="proto3")
    file.dependency.extend(["google/protobuf/timestamp.proto", "google/protobuf/empty.proto"])
    for name, cell in MESSAGES:
        message = file.message_type.add(name=name)
        for number, field_name, label, kind, oneof in fields(cell):
            add_field(message, number, field_name, label, kind, oneof)
    for name, cell in ENUMS:
        owner = file.message_type if name == "ServingStatus" else None
        holder = next(m for m in owner if m.name == "HealthResponse").enum_type if owner else file.enum_type
        enum = holder.add(name=name)
        for part in cell.split(", "):
            number, value = part.split(" ")
            enum.value.add(name=value, number=int(number))
    service = file.service.add(name="MemoryGraphService")
    for name, request, response in METHODS:
        streams = response.startswith("stream ")
        service.method.add(
            name=name,
            input_type=qualified(request),
            output_type=qualified(response.removeprefix("stream ")),
            server_streaming=streams,
        )
    return file


def qualified(kind: str) -> str:
    if kind == "ServingStatus":
        return f".{PACKAGE}.HealthResponse.ServingStatus"
    return f".{kind}" if kind.startswith("google.") else f".{PACKAGE}.{kind}"


def add_field(
    message: descriptor_pb2.DescriptorProto, number: int, name: str, label: str, kind: str, oneof: str
) -> None:
    field = message.field.add(name=name, number=number, label=FieldDescriptor.LABEL_OPTIONAL)
    if kind.startswith("map<"):
        entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        for index, part in enumerate(("key", "value"), 1):
            entry.field.add(
                name=part, number=index, type=FieldDescriptor.TYPE_STRING, label=FieldDescriptor.LABEL_OPTIONAL
            )
        field.label = FieldDescriptor.LABEL_REPEATED
        field.type = FieldDescriptor.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{message.name}.{entry.name}"
        return
    if kind in SCALARS:
        field.type = SCALARS[kind]
    else:
        is_enum = any(kind == row[0] for row in ENUMS)
        field.type = FieldDescriptor.TYPE_ENUM if is_enum else FieldDescriptor.TYPE_MESSAGE
        field.type_name = qualified(kind)
    if label == "repeated":
        field.label = FieldDescriptor.LABEL_REPEATED
    if oneof or label == "optional":
        oneof_name = oneof or f"_{name}"
        oneof_names = [declared.name for declared in message.oneof_decl]
        if oneof_name not in oneof_names:
            message.oneof_decl.add(name=oneof_name)
            oneof_names.append(oneof_name)
        field.oneof_index = oneof_names.index(oneof_name)
        field.proto3_optional = label == "optional"


@pytest.fixture(scope="module")
def table() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for module in (timestamp_pb2, empty_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    pool.Add(from_table())
    return pool


def test_the_table_names_24_rpcs() -> None:
    assert len(METHODS) == 24


@pytest.mark.parametrize("name", [row[0] for row in MESSAGES])
def test_message_has_the_fields_of_the_table(name: str, table: descriptor_pool.DescriptorPool) -> None:
    expected = table.FindMessageTypeByName(f"{PACKAGE}.{name}")
    actual = pb.DESCRIPTOR.message_types_by_name[name]
    for field in expected.fields:
        actual_field = actual.fields_by_number[field.number]
        for property in ("name", "type", "is_repeated", "has_presence"):
            assert getattr(actual_field, property) == getattr(field, property), f"{name}.{field.name}: {property}"
        for reference in ("message_type", "enum_type", "containing_oneof"):
            mine, theirs = getattr(actual_field, reference), getattr(field, reference)
            assert (mine and mine.name) == (theirs and theirs.name), f"{name}.{field.name}: {reference}"


@pytest.mark.parametrize("row", ENUMS, ids=lambda row: row[0])
def test_enum_has_the_values_of_the_table(row: list[str]) -> None:
    name, cell = row
    enum = pb.HealthResponse.DESCRIPTOR.enum_types_by_name.get(name) or pb.DESCRIPTOR.enum_types_by_name[name]
    for part in cell.split(", "):
        number, value = part.split(" ")
        assert enum.values_by_name[value].number == int(number)


@pytest.mark.parametrize("row", METHODS, ids=lambda row: row[0])
def test_rpc_has_the_types_of_the_table(row: list[str]) -> None:
    name, request, response = row
    method = pb.DESCRIPTOR.services_by_name["MemoryGraphService"].methods_by_name[name]
    assert method.input_type.full_name == qualified(request).lstrip(".")
    assert method.output_type.full_name == qualified(response.removeprefix("stream ")).lstrip(".")
    assert method.server_streaming == response.startswith("stream ")
    assert not method.client_streaming


def test_a_client_made_from_the_table_alone_works(table: descriptor_pool.DescriptorPool, channel: grpc.Channel) -> None:
    def message(name: str) -> type:
        return message_factory.GetMessageClass(table.FindMessageTypeByName(f"{PACKAGE}.{name}"))

    def call(name: str, request: object) -> object:
        response = next(row[2] for row in METHODS if row[0] == name)
        invoke = channel.unary_unary(
            f"/{PACKAGE}.MemoryGraphService/{name}",
            request_serializer=lambda sent: sent.SerializeToString(),
            response_deserializer=message(response).FromString,
        )
        return invoke(request, timeout=30)

    session = call("CreateSession", message("CreateSessionRequest")(metadata={"user": "me"}))
    prompt = call("AddPrompt", message("AddPromptRequest")(session_id=session.id, content="Is there a train?"))
    response = call("AddResponse", message("AddResponseRequest")(prompt_id=prompt.id, content="Yes."))
    page = call("Query", message("QueryRequest")(session_id=session.id))
    assert [node.id for node in page.nodes] == [response.id, prompt.id]
    assert page.nodes[1].prompt.content == "Is there a train?"
