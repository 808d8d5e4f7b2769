"""The closed sets of the graph: node types, edge types, directions, event types (contract §1)."""

from __future__ import annotations

from enum import IntEnum


class NodeType(IntEnum):
    """The type of a node, with the number of the wire contract and of the store."""

    SESSION = 1
    PROMPT = 2
    RESPONSE = 3
    TOOL_INVOCATION = 4
    AGENT = 5
    TEMPLATE = 6
    MODEL = 7
    MODEL_VERSION = 8
    INVOCATION = 9
    PERFORMANCE_METRIC = 10
    ERROR = 11


class EdgeType(IntEnum):
    """The type of an edge, read from its `from` node to its `to` node."""

    BELONGS_TO = 1
    RESPONDS_TO = 2
    FOLLOWS = 3
    INVOKES = 4
    HANDLED_BY = 5
    INSTANTIATES = 6
    INHERITS = 7
    TRANSFERS_TO = 8
    REFERENCES = 9
    FOLLOWED_BY = 10
    HAS_METRIC = 11
    CAUSED_ERROR = 12
    TRIGGERED_BY = 13
    USES_MODEL = 14
    HAD_VERSION = 15


class Direction(IntEnum):
    """The direction of a node's edges: those that leave it, those that reach it, or both."""

    OUTGOING = 1
    INCOMING = 2
    BOTH = 3


class LineageDirection(IntEnum):
    """The direction of a lineage. UPSTREAM: the causes of a node. DOWNSTREAM: its effects."""

    UPSTREAM = 1
    DOWNSTREAM = 2
    BOTH = 3


class EventType(IntEnum):
    """The type of a change feed event."""

    NODE_CREATED = 1
    NODE_UPDATED = 2
    NODE_DELETED = 3
    EDGE_CREATED = 4
    EDGE_DELETED = 5
    SESSION_CREATED = 6
    SESSION_CLOSED = 7


CAUSE_IS_TARGET = frozenset(
    {
        EdgeType.BELONGS_TO,
        EdgeType.RESPONDS_TO,
        EdgeType.FOLLOWS,
        EdgeType.HANDLED_BY,
        EdgeType.INSTANTIATES,
        EdgeType.INHERITS,
        EdgeType.REFERENCES,
        EdgeType.TRIGGERED_BY,
        EdgeType.USES_MODEL,
    }
)
"""Edge types that point from the effect to its cause; the others point from the cause to its effect. Lineage reads
this."""
