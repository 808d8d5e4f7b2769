"""RPCs and messages, from the proto files and their comments."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import grpc_tools
from google.protobuf import descriptor_pb2 as pb
from grpc_tools import protoc

from tools.reference.markdown import code, document, paragraph, table

_PROTO = Path(__file__).parents[2] / "service/proto"
_SERVICE, _MESSAGE, _ENUM = 6, 4, 5
"""Field numbers of FileDescriptorProto, by which comments are addressed."""
_METHOD = _FIELD = 2
_KINDS = {number: name.removeprefix("TYPE_").lower() for name, number in pb.FieldDescriptorProto.Type.items()}


def page() -> str:
    """The page: each service with its RPCs, then messages and enums."""
    return document(
        "RPCs and messages",
        "`service/proto`",
        paragraph(
            "[The contract](contract.md) has the semantics. Fields may be left out, as proto3 has it; `optional` marks"
            " those whose presence counts."
        ),
        *(text for file in _files() for text in _File(file).sections()),
    )


def _files() -> list[pb.FileDescriptorProto]:
    names = sorted(str(path.relative_to(_PROTO)) for path in _PROTO.rglob("*.proto"))
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    with tempfile.NamedTemporaryFile() as output:
        options = [f"--proto_path={_PROTO}", f"--proto_path={well_known}", "--include_source_info"]
        assert protoc.main(["protoc", *options, f"--descriptor_set_out={output.name}", *names]) == 0
        return list(pb.FileDescriptorSet.FromString(Path(output.name).read_bytes()).file)


class _File:
    """One proto file and the comments of its parts."""

    def __init__(self, file: pb.FileDescriptorProto) -> None:
        self._file = file
        self._comments = {tuple(part.path): part.leading_comments for part in file.source_code_info.location}

    def sections(self) -> Iterator[str]:
        file = self._file
        for number, service in enumerate(file.service):
            yield f"## {file.package}.{service.name}"
            yield from self._about(_SERVICE, number)
            yield table(("rpc", "request", "response", "what it does"), self._methods(number))
        yield f"## Messages of {file.package}"
        for number, message in enumerate(file.message_type):
            yield f"### {message.name}"
            yield from self._about(_MESSAGE, number)
            if message.field:
                yield table(("number", "field", "type", "meaning"), self._fields(number))
            for enum in message.enum_type:
                yield table((f"number of {enum.name}", "value"), self._values(enum))
        if file.enum_type:
            yield f"## Enums of {file.package}"
        for number, enum in enumerate(file.enum_type):
            yield f"### {enum.name}"
            yield from self._about(_ENUM, number)
            yield table(("number", "value"), self._values(enum))

    def _comment(self, *path: int) -> str:
        return " ".join(self._comments.get(path, "").split())

    def _about(self, *path: int) -> Iterator[str]:
        if self._comment(*path):
            yield paragraph(self._comment(*path))

    def _methods(self, number: int) -> Iterator[list[str]]:
        for index, method in enumerate(self._file.service[number].method):
            comment = self._comment(_SERVICE, number, _METHOD, index)
            assert comment, f"the rpc {method.name} has no comment"
            request = "stream " * method.client_streaming + self._link(method.input_type)
            response = "stream " * method.server_streaming + self._link(method.output_type)
            yield [code(method.name), request, response, comment]

    def _fields(self, number: int) -> Iterator[list[str]]:
        message = self._file.message_type[number]
        for index, field in enumerate(message.field):
            yield [
                str(field.number),
                code(field.name),
                self._type(message, field),
                self._comment(_MESSAGE, number, _FIELD, index),
            ]

    def _type(self, message: pb.DescriptorProto, field: pb.FieldDescriptorProto) -> str:
        nested = {f".{self._file.package}.{message.name}.{entry.name}": entry for entry in message.nested_type}
        entry = nested.get(field.type_name)
        if entry is not None and entry.options.map_entry:
            key, value = entry.field
            return f"map<{self._type(message, key)}, {self._type(message, value)}>"
        kind = self._link(field.type_name) if field.type_name else _KINDS[field.type]
        if field.label == field.LABEL_REPEATED:
            return f"repeated {kind}"
        if field.proto3_optional:
            return f"optional {kind}"
        if field.HasField("oneof_index"):
            return f"{kind} (oneof {message.oneof_decl[field.oneof_index].name})"
        return kind

    def _values(self, enum: pb.EnumDescriptorProto) -> Iterator[list[str]]:
        for value in enum.value:
            yield [str(value.number), code(value.name)]

    def _link(self, name: str) -> str:
        short = name.rpartition(".")[2]
        local_names = [message.name for message in self._file.message_type] + [
            enum.name for enum in self._file.enum_type
        ]
        return (
            f"[{short}](#{short.lower()})" if short in local_names and self._file.package in name else name.lstrip(".")
        )
