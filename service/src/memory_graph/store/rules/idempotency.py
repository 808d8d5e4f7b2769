"""When a repeated creation is the same as what is stored, and what a change leaves as it is (model.mutations)."""

from __future__ import annotations

import msgspec

from memory_graph.model.kinds import NodeType
from memory_graph.model.mutations import UpdateNode
from memory_graph.model.nodes import Edge, Node, NodeData, PromptData, SessionData, TemplateData

PARENTS = {NodeType.RESPONSE: NodeType.PROMPT, NodeType.TOOL_INVOCATION: NodeType.RESPONSE}
"""What the parent of a node must be, where that is fixed."""


def same_node(stored: Node, asked: Node) -> bool:
    """Whether creating `asked` again changes nothing."""
    return stored.type is asked.type and _as_created(stored.data) == _as_created(asked.data)


def same_edge(stored: Edge, asked: Edge) -> bool:
    """Whether creating `asked` again changes nothing."""
    return (stored.type, stored.from_id, stored.to_id, stored.properties) == (
        asked.type,
        asked.from_id,
        asked.to_id,
        asked.properties,
    )


def without_count(data: NodeData) -> NodeData:
    """The data that a writer can set: usage_count is the store's."""
    if isinstance(data, TemplateData) and data.usage_count:
        return msgspec.structs.replace(data, usage_count=0)
    return data


def updated(asked: UpdateNode, before: Node) -> NodeData:
    """New data of a node with what an update cannot change, or only adds to."""
    data = asked.node.data
    if asked.adds and isinstance(data, SessionData) and isinstance(before.data, SessionData):
        metadata = {**data.metadata, **before.data.metadata}
        return SessionData(metadata=metadata, is_active=before.data.is_active and data.is_active)
    if isinstance(data, PromptData) and isinstance(before.data, PromptData):
        return msgspec.structs.replace(data, session_id=before.data.session_id)
    return without_count(data)


def _as_created(data: NodeData) -> NodeData:
    """What a creation is compared by: whether a session has ended since is not part of it."""
    if isinstance(data, SessionData) and not data.is_active:
        return msgspec.structs.replace(data, is_active=True)
    return without_count(data)
