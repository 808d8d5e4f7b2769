"""The edges that the server derives from a node's data (contract §1, "Edges made by the server"). Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from memory_graph.model.errors import Invalid, Violation
from memory_graph.model.ids import canonical
from memory_graph.model.kinds import EdgeType
from memory_graph.model.mutations import CreateNode
from memory_graph.model.nodes import Edge, Node, PromptData, ResponseData, TemplateData, ToolInvocationData

NewId = Callable[[], str]


def create_node(node: Node, new_id: NewId, *, instantiates: str | None = None) -> CreateNode:
    """Return the mutation that stores `node` with the edges derived from its data.

    instantiates: the template of a prompt.

    Raises:
        Invalid: if metadata that names nodes (agent_id, references, …) holds no id.
    """
    edges = tuple(
        Edge(id=new_id(), type=edge_type, from_id=start, to_id=end, created_at=node.created_at)
        for edge_type, start, end in _ends(node, instantiates)
    )
    data = node.data
    if isinstance(data, PromptData):
        return CreateNode(node=node, edges=edges, follows_edge_id=new_id(), counts_use_of=instantiates)
    if isinstance(data, ResponseData):
        return CreateNode(node=node, edges=edges, parent_id=data.prompt_id)
    if isinstance(data, ToolInvocationData):
        return CreateNode(node=node, edges=edges, parent_id=data.response_id)
    return CreateNode(node=node, edges=edges)


def derived_edges_of(node: Node) -> frozenset[tuple[EdgeType, str, str]]:
    """Return (type, from, to) of the derived edges. UpdateNode may not change them, or stored edges would not agree."""
    return frozenset(_ends(node, None))


def _ends(node: Node, instantiates: str | None) -> Iterator[tuple[EdgeType, str, str]]:
    data = node.data
    match data:
        case PromptData():
            yield EdgeType.BELONGS_TO, node.id, data.session_id
            if instantiates is not None:
                yield EdgeType.INSTANTIATES, node.id, instantiates
            if data.metadata is not None and data.metadata.custom:
                yield from _references(node, EdgeType.HANDLED_BY, data.metadata.custom, "agent_id")
                yield from _references(node, EdgeType.REFERENCES, data.metadata.custom, "references")
        case ResponseData():
            yield EdgeType.RESPONDS_TO, node.id, data.prompt_id
            if data.metadata is not None:
                yield from _references(node, EdgeType.TRANSFERS_TO, data.metadata.custom, "transfer_to_agent_id")
        case ToolInvocationData():
            yield EdgeType.INVOKES, data.response_id, node.id
        case TemplateData():
            yield from _references(node, EdgeType.INHERITS, data.metadata, "parent_id")


def _references(
    node: Node, edge_type: EdgeType, values: Mapping[str, str], key: str
) -> Iterator[tuple[EdgeType, str, str]]:
    """Yield edges to the nodes of a comma-separated list of ids, each once."""
    for part in dict.fromkeys(part.strip() for part in values.get(key, "").split(",") if part.strip()):
        id = canonical(part)
        if id is None:
            raise Invalid(Violation(f"metadata[{key}]", f"{part!r} is not a UUID"))
        yield edge_type, node.id, id
