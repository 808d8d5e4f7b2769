"""The queries of a graph and their results."""

from __future__ import annotations

import msgspec

from memory_graph.model.kinds import Direction, EdgeType, LineageDirection, NodeType
from memory_graph.model.nodes import Edge, Node

MAX_LIMIT = 10_000
DEFAULT_LIMIT = 100
MAX_DEPTH = 10


class NodeFilter(msgspec.Struct, frozen=True, kw_only=True):
    """The conditions of a query; every condition that is set must hold.

    session_id: nodes that belong to the session; the session itself is not among them.
    after, before: bounds of created_at, inclusive, in nanoseconds.
    attributes: exact values of indexed attributes by name, as `memory_graph.model.attributes` yields them.
    text: words that must all occur in the node's text.
    """

    session_id: str | None = None
    type: NodeType | None = None
    after: int | None = None
    before: int | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    text: str | None = None


class Page(msgspec.Struct, frozen=True):
    """A page of nodes, newest first, and the number of all without limit and offset."""

    nodes: list[Node]
    total_count: int


class PointInTime(msgspec.Struct, frozen=True, kw_only=True):
    """The point in time of a read, both axes in nanoseconds; None is now.

    as_of: valid time, the graph as it was then. known_at: recorded time, only what the store had learned by then.
    """

    as_of: int | None = None
    known_at: int | None = None


NOW = PointInTime()


class Traversal(msgspec.Struct, frozen=True, kw_only=True):
    """Paths without repeated nodes from start nodes along edges, shortest first, at most `depth` edges and
    `limit` paths.

    An unknown start node is `NotFound`.
    """

    start: tuple[str, ...]
    edge_types: frozenset[EdgeType] = frozenset()
    direction: Direction = Direction.OUTGOING
    depth: int = 1
    limit: int = DEFAULT_LIMIT
    at: PointInTime = NOW


class Path(msgspec.Struct, frozen=True):
    """A path. nodes has one element more than edges; edges[i] joins nodes[i] and nodes[i + 1], in either direction."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


class LineageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Causes and effects of a node. An unknown node is `NotFound`."""

    node_id: str
    direction: LineageDirection = LineageDirection.UPSTREAM
    depth: int = 3
    at: PointInTime = NOW


class LineageStep(msgspec.Struct, frozen=True):
    """A node of a lineage with its shortest distance in edges: negative upstream, positive downstream, 0 for the
    queried node.

    edge: the edge that reached it first, None at distance 0.
    """

    node: Node
    distance: int
    edge: Edge | None


class ReplayStep(msgspec.Struct, frozen=True):
    """A node of a session and its edges to nodes replayed before it. The first step is the session itself."""

    node: Node
    edges: tuple[Edge, ...]


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """The current size of a tenant's graph."""

    nodes: int
    edges: int
    sessions: int
    active_sessions: int
