"""Export of a graph as records, in an order in which they can be imported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from memory_graph.cli.client import GraphClient
from memory_graph.cli.records import KEPT_BY_SERVER, Record, record_of_edge, record_of_node
from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb
from memory_graph.model.nodes import WAITING

_SHARED = (
    pb.NODE_TYPE_AGENT,
    pb.NODE_TYPE_TEMPLATE,
    pb.NODE_TYPE_MODEL,
    pb.NODE_TYPE_MODEL_VERSION,
    pb.NODE_TYPE_INVOCATION,
    pb.NODE_TYPE_PERFORMANCE_METRIC,
    pb.NODE_TYPE_ERROR,
)
"""Types of nodes that may belong to no session."""
_IN_FLIGHT = 64
_SESSIONS_A_PAGE = 1000
_IDS_A_REQUEST = 500


class Exporter:
    """Yields records: first what belongs to no session, then each session, causes before effects; edges last.

    Edges that the server makes again on import are left out. Ids of the nodes yielded and edges left to yield are
    held in memory, contents are not.
    """

    def __init__(self, client: GraphClient) -> None:
        self._client = client
        self._yielded: set[str] = set()
        self._edges: list[pb.Edge] = []
        self._invoked_by: dict[str, str] = {}
        self.left_out = 0
        """Edges to or from nodes that are not part of the export."""
        self.waiting = 0
        """Responses that wait for their prompts: they are no nodes yet, and an import could not create them."""
        self.stubs = 0
        """Nodes that others name and that have no content yet."""

    def total(self) -> int:
        """Return the number of nodes of the whole graph."""
        answer = self._client.call(self._client.graph.Query, pb.QueryRequest(limit=1))
        return int(answer.total_count)

    def everything(self) -> Iterator[Record]:
        """Yield the records of the whole graph."""
        shared = [node for node_type in _SHARED for node in self._scan(node_type)]
        for node, _ in self._with_edges(_parents_first(shared)):
            yield self._record(node)
        for session_id in self._session_ids():
            new_nodes = (node for node in self._replay(session_id) if node.id not in self._yielded)
            for node, _ in self._with_edges(new_nodes):
                yield self._record(node)
        yield from self._remaining_edges()

    def sessions(self, session_ids: Iterable[str]) -> Iterator[Record]:
        """Yield the records of some sessions, after the nodes that these share with others."""
        session_ids = list(dict.fromkeys(session_ids))
        shared: dict[str, pb.Node] = {}
        for session_id in session_ids:
            node_ids: set[str] = set()
            targets: set[str] = set()
            for node, edges in self._with_edges(self._replay(session_id)):
                node_ids.add(node.id)
                targets.update(edge.to_node_id for edge in edges)
            self._collect_shared(shared, targets - node_ids)
        for node, _ in self._with_edges(_parents_first(shared.values())):
            yield self._record(node)
        for session_id in session_ids:
            for node in self._replay(session_id):
                yield self._record(node)
        yield from self._remaining_edges()

    def _collect_shared(self, shared: dict[str, pb.Node], ids: set[str]) -> None:
        missing = ids - shared.keys()
        while missing:
            nodes = [node for node in self._get(sorted(missing)) if node.type in _SHARED and _is_complete(node)]
            shared.update((node.id, node) for node in nodes)
            # A shared node may need others: a template its parent, a model version its model.
            missing = {edge.to_node_id for edges in self._outgoing(nodes) for edge in edges} - shared.keys()

    def _with_edges(self, nodes: Iterable[pb.Node]) -> Iterator[tuple[pb.Node, list[pb.Edge]]]:
        """Yield nodes with the edges that leave them; edges that an import does not derive are held for the end."""
        previous: dict[str, str] = {}
        for chunk in _chunks(nodes):
            for node, edges in zip(chunk, self._outgoing(chunk), strict=True):
                derived = _derived(node, previous)
                self._edges.extend(edge for edge in edges if (edge.type, edge.to_node_id) not in derived)
                if node.type == pb.NODE_TYPE_PROMPT:
                    previous[node.prompt.session_id] = node.id
                yield node, edges

    def _record(self, node: pb.Node) -> Record:
        if node.type == pb.NODE_TYPE_TOOL_INVOCATION:
            self._invoked_by[node.id] = node.tool_invocation.response_id
        self._yielded.add(node.id)
        return {key: value for key, value in record_of_node(node).items() if key not in KEPT_BY_SERVER}

    def _remaining_edges(self) -> Iterator[Record]:
        for edge in self._edges:
            if edge.to_node_id not in self._yielded:
                self.left_out += 1
            elif edge.type != pb.EDGE_TYPE_INVOKES or self._invoked_by.get(edge.to_node_id) != edge.from_node_id:
                yield record_of_edge(edge)

    def _get(self, ids: list[str]) -> Iterator[pb.Node]:
        for start in range(0, len(ids), _IDS_A_REQUEST):
            request = pb.BatchGetNodesRequest(node_ids=ids[start : start + _IDS_A_REQUEST])
            yield from self._client.call(self._client.graph.BatchGetNodes, request).nodes

    def _outgoing(self, nodes: list[pb.Node]) -> list[list[pb.Edge]]:
        pending = [
            self._client.graph.GetEdges.future(
                pb.GetEdgesRequest(node_id=node.id, direction=pb.EDGE_DIRECTION_OUTGOING), timeout=self._client.timeout
            )
            for node in nodes
        ]
        return [list(answer.result().edges) for answer in pending]

    def _scan(self, node_type: pb.NodeType) -> Iterator[pb.Node]:
        nodes = self._client.graph.StreamQuery(pb.QueryRequest(node_type=node_type))
        for chunk in _chunks(nodes):
            unknown = [node for node in chunk if not _is_complete(node)]
            self._leave_out(unknown)
            yield from (node for node in chunk if _is_complete(node))

    def _leave_out(self, unknown: list[pb.Node]) -> None:
        waiting = sum(node.invocation.status == WAITING for node in unknown)
        self.waiting += waiting
        self.stubs += len(unknown) - waiting
        self.left_out += sum(map(len, self._outgoing(unknown)))

    def _replay(self, session_id: str) -> Iterator[pb.Node]:
        for step in self._client.graph_query.SessionReplay(pb.SessionReplayRequest(session_id=session_id)):
            yield step.node

    def _session_ids(self) -> list[str]:
        ids: dict[str, None] = {}
        while True:
            request = pb.ListSessionsRequest(limit=_SESSIONS_A_PAGE, offset=len(ids))
            page = self._client.call(self._client.graph.ListSessions, request)
            before = len(ids)
            ids.update((session.id, None) for session in page.sessions)
            if len(ids) == before or len(ids) >= page.total_count:
                return list(reversed(ids))


def _is_complete(node: pb.Node) -> bool:
    """Whether a node is what it says: not an invocation of no model, which stands for one or holds a response."""
    return node.WhichOneof("node_data") != "invocation" or bool(node.invocation.model_id)


def _derived(node: pb.Node, previous: dict[str, str]) -> set[tuple[int, str]]:
    """The edges from a node that the server makes when the node is created (contract §1)."""
    match node.WhichOneof("node_data"):
        case "prompt":
            prompt = node.prompt
            custom = prompt.metadata.custom
            return {
                (pb.EDGE_TYPE_BELONGS_TO, prompt.session_id),
                (pb.EDGE_TYPE_FOLLOWS, previous.get(prompt.session_id, "")),
                *_named(pb.EDGE_TYPE_HANDLED_BY, custom.get("agent_id", "")),
                *_named(pb.EDGE_TYPE_REFERENCES, custom.get("references", "")),
            }
        case "response":
            response = node.response
            return {
                (pb.EDGE_TYPE_RESPONDS_TO, response.prompt_id),
                *_named(pb.EDGE_TYPE_TRANSFERS_TO, response.metadata.custom.get("transfer_to_agent_id", "")),
            }
        case "template":
            return set(_named(pb.EDGE_TYPE_INHERITS, node.template.metadata.get("parent_id", "")))
        case _:
            return set()


def _named(edge_type: int, ids: str) -> Iterator[tuple[int, str]]:
    for part in ids.split(","):
        yield edge_type, part.strip().lower()


def _parents_first(nodes: Iterable[pb.Node]) -> list[pb.Node]:
    """Templates after the template they inherit from; otherwise by age."""
    by_id = {node.id: node for node in sorted(nodes, key=lambda node: node.created_at.ToNanoseconds())}
    ordered: dict[str, pb.Node] = {}
    for node in by_id.values():
        lineage = [node]
        while (
            parent := by_id.get(lineage[-1].template.metadata.get("parent_id", "").lower())
        ) and parent not in lineage:
            lineage.append(parent)
        ordered.update((item.id, item) for item in reversed(lineage) if item.id not in ordered)
    return list(ordered.values())


def _chunks(nodes: Iterable[pb.Node]) -> Iterator[list[pb.Node]]:
    iterator = iter(nodes)
    while chunk := list(islice(iterator, _IN_FLIGHT)):
        yield chunk
