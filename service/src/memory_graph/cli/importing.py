"""Import of records into a graph, in bounded batches."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import grpc

from memory_graph.cli.client import GraphClient
from memory_graph.cli.failure import Failure, failure_of
from memory_graph.cli.jsonl import EdgeEntry, Entry, NodeEntry
from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb

BATCH_NODES = 500
BATCH_BYTES = 4 * 1024 * 1024
"""A quarter of the largest message a server takes by default."""
_EDGES_IN_FLIGHT = 64
_NODE_FIELD = re.compile(r"\bnodes\[(\d+)\]\.?")


@dataclass
class Importer:
    """Writes the entries of a file to a server. Nodes go in batches, each all or nothing, edges after the nodes before
    them, and sessions are closed at the end."""

    client: GraphClient
    nodes_read: int = 0
    nodes_created: int = 0
    edges_read: int = 0
    _nodes: list[NodeEntry] = field(default_factory=list)
    _bytes: int = 0
    _edges: list[EdgeEntry] = field(default_factory=list)
    _to_close: list[NodeEntry] = field(default_factory=list)
    _last_line: int = 0

    def add(self, entry: Entry) -> None:
        """Add an entry; a full batch is written."""
        if isinstance(entry, EdgeEntry):
            self._edges.append(entry)
            if len(self._edges) >= BATCH_NODES:
                self.flush()
            return
        if self._bytes + entry.size > BATCH_BYTES or len(self._nodes) >= BATCH_NODES:
            self._flush_nodes()
        if entry.node.type == pb.NODE_TYPE_SESSION and not entry.node.session.is_active:
            # Nodes can be added to a session only while it is active.
            entry.node.session.is_active = True
            self._to_close.append(entry)
        self._nodes.append(entry)
        self._bytes += entry.size

    def flush(self) -> None:
        """Write the entries that are held."""
        self._flush_nodes()
        self._flush_edges()

    def finish(self) -> None:
        """Write the entries that are held, and close the sessions that are closed in the file."""
        self.flush()
        for entry in self._to_close:
            request = pb.CloseSessionRequest(session_id=entry.node.id)
            with self._naming_lines([entry]):
                self.client.call(self.client.graph_query.CloseSession, request)

    def _flush_nodes(self) -> None:
        entries, self._nodes, self._bytes = self._nodes, [], 0
        if not entries:
            return
        open_entries = self._without_closed(entries)
        if open_entries:
            request = pb.BatchCreateNodesRequest(nodes=[entry.node for entry in open_entries])
            with self._naming_lines(open_entries):
                self.nodes_created += self.client.call(self.client.graph.BatchCreateNodes, request).created_count
        self.nodes_read += len(entries)
        self._last_line = entries[-1].line

    def _without_closed(self, entries: list[NodeEntry]) -> list[NodeEntry]:
        """Leave out sessions that an earlier import has written and closed: as active they would have other content."""
        closing = {entry.node.id for entry in self._to_close if entry.node.id}
        closing_ids = [entry.node.id for entry in entries if entry.node.id in closing]
        if not closing_ids:
            return entries
        answer = self.client.call(self.client.graph.BatchGetNodes, pb.BatchGetNodesRequest(node_ids=closing_ids))
        closed = {
            node.id: dict(node.session.metadata)
            for node in answer.nodes
            if node.type == pb.NODE_TYPE_SESSION and not node.session.is_active
        }
        return [entry for entry in entries if closed.get(entry.node.id) != dict(entry.node.session.metadata)]

    def _flush_edges(self) -> None:
        entries, self._edges = self._edges, []
        for start in range(0, len(entries), _EDGES_IN_FLIGHT):
            chunk = entries[start : start + _EDGES_IN_FLIGHT]
            pending = [
                self.client.graph.CreateEdge.future(pb.CreateEdgeRequest(edge=entry.edge), timeout=self.client.timeout)
                for entry in chunk
            ]
            for entry, answer in zip(chunk, pending, strict=True):
                with self._naming_lines([entry]):
                    answer.result()
                self.edges_read += 1

    def _naming_lines(self, entries: Sequence[Entry]) -> _LineErrors:
        return _LineErrors(entries, self.client.address, self._last_line)


@dataclass
class _LineErrors:
    """Turns the refusal of a batch into a `Failure` that names the line at fault and what has been written."""

    entries: Sequence[Entry]
    address: str
    last_line: int

    def __enter__(self) -> None:
        return

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if not isinstance(error, grpc.RpcError):
            return
        failure = failure_of(error, self.address)
        line, text = self._line(failure.message)
        written = f"lines up to {self.last_line} are written" if self.last_line else "nothing was written"
        raise Failure(f"{line}: {text}; {written}", failure.exit_code) from None

    def _line(self, text: str) -> tuple[str, str]:
        match = _NODE_FIELD.search(text)
        if match and int(match[1]) < len(self.entries):
            return f"line {self.entries[int(match[1])].line}", _NODE_FIELD.sub("", text)
        named = [entry for entry in self.entries if any(value in text for value in _ids(entry))]
        first, last = self.entries[0].line, self.entries[-1].line
        if named:
            return f"line {named[0].line}", text
        return (f"line {first}" if first == last else f"lines {first} to {last}"), text


def _ids(entry: Entry) -> Iterable[str]:
    if isinstance(entry, EdgeEntry):
        named: tuple[str, ...] = (entry.edge.id, entry.edge.from_node_id, entry.edge.to_node_id)
    else:
        node = entry.node
        named = (node.id, node.prompt.session_id, node.response.prompt_id, node.tool_invocation.response_id)
    return [value for value in named if value]
