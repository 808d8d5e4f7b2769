"""A reader of JSON Lines: it decodes records, resolves names to ids, and reports errors with their line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from memory_graph.cli.failure import WRONG_INPUT, Failure
from memory_graph.cli.records import JSON_TEXT, Record, RecordError, edge_of_record, node_of_record
from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb
from memory_graph.ingest.json_text import TOO_DEEP, UTF16_BOMS, too_deep, without_bom
from memory_graph.model.ids import canonical, new_id

MAX_LINE_BYTES = 16 * 1024 * 1024
"""The largest message a server takes by default."""
_ID_FIELDS = ("session_id", "prompt_id", "response_id", "from_id", "to_id")
_ID_KEYS = ("agent_id", "transfer_to_agent_id", "references", "parent_id")
"""Metadata keys from which the server makes edges; `references` is a list separated by commas."""


@dataclass(frozen=True)
class NodeEntry:
    """A line that describes a node. size: its bytes."""

    line: int
    size: int
    node: pb.Node


@dataclass(frozen=True)
class EdgeEntry:
    """A line that describes an edge. size: its bytes."""

    line: int
    size: int
    edge: pb.Edge


Entry = NodeEntry | EdgeEntry


@dataclass
class JsonlReader:
    """Turns lines into entries. A name given as `ref` stands for the node's id in every later line."""

    _ids: dict[str, str] = field(default_factory=dict)

    def entries(self, lines: Iterable[bytes]) -> Iterator[Entry]:
        """Yields an entry a line; blank lines are skipped.

        Raises:
            Failure: naming the line and what is wrong with it.
        """
        for number, line in enumerate(lines, start=1):
            if number == 1:
                line = without_bom(line)  # noqa: PLW2901 - no other has one
            if not line or line.isspace():
                continue
            try:
                yield self._entry(number, len(line), _decoded(line))
            except RecordError as error:
                raise Failure(f"line {number}: {error}", WRONG_INPUT) from None

    def _entry(self, line: int, size: int, record: Record) -> Entry:
        self._resolve(record)
        if record.get("kind") == "edge":
            if "ref" in record:
                raise RecordError("an edge has no ref: nothing refers to an edge")
            return EdgeEntry(line, size, edge_of_record(record))
        self._name(record)
        return NodeEntry(line, size, node_of_record(record))

    def _name(self, record: Record) -> None:
        ref = record.get("ref")
        if ref is None:
            return
        if not isinstance(ref, str) or not ref or canonical(ref):
            raise RecordError(f"ref is {ref!r}; it must be a name, and no UUID")
        if ref in self._ids:
            raise RecordError(f"ref {ref!r} is taken by an earlier line")
        if record.get("id") is None:
            record["id"] = new_id()
        self._ids[ref] = str(record["id"])

    def _resolve(self, record: Record) -> None:
        for name in _ID_FIELDS:
            if name in record:
                record[name] = self._id(name, record[name])
        metadata = record.get("metadata")
        custom = metadata.get("custom") if isinstance(metadata, dict) else None
        for values in (metadata, custom):
            for key in _ID_KEYS:
                if isinstance(values, dict) and isinstance(values.get(key), str):
                    parts = [part.strip() for part in values[key].split(",")]
                    values[key] = ",".join(self._ids.get(part, part) for part in parts)
        for name in JSON_TEXT:
            if isinstance(record.get(name), dict | list):
                record[name] = json.dumps(record[name], ensure_ascii=False, separators=(",", ":"))

    def _id(self, name: str, value: object) -> str:
        if not isinstance(value, str) or not value:
            raise RecordError(f"{name} is {value!r}; it must be an id, or the ref of an earlier line")
        resolved = self._ids.get(value) or canonical(value)
        if resolved is None:
            raise RecordError(f"{name} is {value!r}, which is neither a UUID nor the ref of an earlier line")
        return resolved


def _decoded(line: bytes) -> Record:
    if len(line) > MAX_LINE_BYTES:
        raise RecordError(f"is longer than {MAX_LINE_BYTES:,} bytes")
    if line.startswith(UTF16_BOMS):
        raise RecordError("is UTF-16; write the file as UTF-8")
    if too_deep(line):
        raise RecordError(TOO_DEEP)
    try:
        record = json.loads(line.decode().rstrip(), parse_constant=_no_constant)
    except RecordError:
        raise
    except UnicodeDecodeError as error:
        raise RecordError(f"is not UTF-8 at byte {error.start + 1}") from None
    except json.JSONDecodeError as error:
        raise RecordError(f"is not JSON at character {error.pos + 1} ({error.msg})") from None
    except ValueError:
        raise RecordError("has a number of too many digits") from None
    if not isinstance(record, dict):
        raise RecordError("must be a JSON object")
    return record


def _no_constant(name: str) -> object:
    raise RecordError(f"has {name}, which is not JSON")
