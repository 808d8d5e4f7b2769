"""Idempotent creations: whether a repeated one is the same as the stored node or edge, and the parts of a node that no
update changes (model.mutations)."""

from __future__ import annotations

import msgspec

from memory_graph.model.kinds import NodeType
from memory_graph.model.mutations import UpdateNode
from memory_graph.model.nodes import Edge, Node, NodeData, PromptData, SessionData, TemplateData

PARENTS = {NodeType.RESPONSE: NodeType.PROMPT, NodeType.TOOL_INVOCATION: NodeType.RESPONSE}
"""The type that the parent of a node must have, where that is fixed."""


def same_node(stored: Node, node: Node) -> bool:
    """Whether creating `node` again changes nothing."""
    return stored.type is node.type and _as_created(stored.data) == _as_created(node.data)


def same_edge(stored: Edge, edge: Edge) -> bool:
    """Whether creating `edge` again changes nothing."""
    return (stored.type, stored.from_id, stored.to_id, stored.properties) == (
        edge.type,
        edge.from_id,
        edge.to_id,
        edge.properties,
    )


def without_count(data: NodeData) -> NodeData:
    """The data that a writer can set: usage_count is the store's."""
    if isinstance(data, TemplateData) and data.usage_count:
        return msgspec.structs.replace(data, usage_count=0)
    return data


def updated(mutation: UpdateNode, before: Node) -> NodeData:
    """New data of a node with what an update cannot change, or only adds to."""
    data = mutation.node.data
    if mutation.adds and isinstance(data, SessionData) and isinstance(before.data, SessionData):
        metadata = {**data.metadata, **before.data.metadata}
        return SessionData(metadata=metadata, is_active=before.data.is_active and data.is_active)
    if isinstance(data, PromptData) and isinstance(before.data, PromptData):
        return msgspec.structs.replace(data, session_id=before.data.session_id)
    return without_count(data)


def _as_created(data: NodeData) -> NodeData:
    """The data that repeated creations are compared by: whether a session has ended since is not part of it."""
    if isinstance(data, SessionData) and not data.is_active:
        return msgspec.structs.replace(data, is_active=True)
    return without_count(data)
