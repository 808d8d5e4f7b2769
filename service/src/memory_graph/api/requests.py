"""The checks of requests, and the model's queries made of them; each violation names its field."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from memory_graph.api.from_wire import EDGE_TYPES, NODE_TYPES, nanoseconds
from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb
from memory_graph.ingest.checks import Checker
from memory_graph.model.attributes import FILTER_KEYS, FILTER_PREFIXES
from memory_graph.model.kinds import Direction, EdgeType, LineageDirection, NodeType
from memory_graph.model.queries import (
    DEFAULT_LIMIT,
    MAX_DEPTH,
    MAX_LIMIT,
    At,
    LineageQuery,
    NodeFilter,
    Traversal,
)

DEFAULT_LINEAGE_DEPTH = 3
_DIRECTIONS: frozenset[int] = frozenset(Direction)
_LINEAGE_DIRECTIONS: frozenset[int] = frozenset(LineageDirection)


def one_id(field: str, value: str) -> str:
    """Return the canonical id of a request with one id; raises `Invalid` if it is no id."""
    checker = Checker()
    id = checker.id(field, value)
    checker.done()
    return id


def page(checker: Checker, limit: int, offset: int) -> tuple[int, int]:
    """Return limit and offset; limit 0 means DEFAULT_LIMIT."""
    if not 0 <= limit <= MAX_LIMIT:
        checker.add("limit", f"is {limit}; must be between 0 and {MAX_LIMIT:,} (0 means {DEFAULT_LIMIT})")
    if offset < 0:
        checker.add("offset", f"is {offset}; must not be negative")
    return limit or DEFAULT_LIMIT, offset


def node_filter(checker: Checker, request: pb.QueryRequest) -> NodeFilter:
    """Return the conditions of a QueryRequest."""
    node_type = request.node_type if request.HasField("node_type") else 0
    if node_type and node_type not in NODE_TYPES:
        checker.add("node_type", f"{node_type} is no node type")
        node_type = 0
    after = nanoseconds(checker, "after", request.after) if request.HasField("after") else None
    before = nanoseconds(checker, "before", request.before) if request.HasField("before") else None
    if after is not None and before is not None and after > before:
        checker.add("after", "is later than before")
    text = request.filters.get("text")
    if text is not None and not text.strip():
        checker.add("filters[text]", "must hold at least one word")
    return NodeFilter(
        session_id=checker.id("session_id", request.session_id) if request.HasField("session_id") else None,
        type=NodeType(node_type) if node_type else None,
        after=after,
        before=before,
        attributes=tuple(_attributes(checker, request)),
        text=text,
    )


def _attributes(checker: Checker, request: pb.QueryRequest) -> list[tuple[str, str]]:
    attributes = []
    for key, value in sorted(request.filters.items()):
        if key in FILTER_KEYS or any(key.startswith(prefix) and len(key) > len(prefix) for prefix in FILTER_PREFIXES):
            attributes.append((key, value))
        elif key != "text":
            filters = ", ".join([*FILTER_KEYS, *(f"{prefix}<key>" for prefix in FILTER_PREFIXES), "text"])
            checker.add(f"filters[{key}]", f"is no filter; filters are {filters}")
    return attributes


def direction(checker: Checker, field: str, value: int, default: Direction) -> Direction:
    """Return an EdgeDirection; unspecified is `default`."""
    if value and value not in _DIRECTIONS:
        checker.add(field, f"{value} is no direction")
        return default
    return Direction(value) if value else default


def edge_type(checker: Checker, field: str, value: int) -> EdgeType | None:
    """Return an EdgeType, which must be specified."""
    if value not in EDGE_TYPES:
        checker.add(field, f"{value} is no edge type" if value else "must be specified")
        return None
    return EdgeType(value)


def depth(checker: Checker, value: int, default: int) -> int:
    """Return the number of edges to follow; 0 means `default`."""
    if not 0 <= value <= MAX_DEPTH:
        checker.add("depth", f"is {value}; must be between 1 and {MAX_DEPTH}")
    return value or default


def at(checker: Checker, request: pb.TraverseRequest | pb.LineageRequest | pb.SessionReplayRequest) -> At:
    """Return the point in time of a read."""

    def time(field: str, value: Timestamp) -> int | None:
        return nanoseconds(checker, field, value) if request.HasField(field) else None

    return At(as_of=time("as_of", request.as_of), known_at=time("known_at", request.known_at))


def traversal(request: pb.TraverseRequest) -> Traversal:
    """Return the query of a TraverseRequest."""
    checker = Checker()
    if not request.start_node_ids:
        checker.add("start_node_ids", "must name at least one node")
    if len(request.start_node_ids) > MAX_LIMIT:
        checker.add(
            "start_node_ids", f"names {len(request.start_node_ids):,} nodes; at most {MAX_LIMIT:,} are accepted"
        )
    edge_types = (edge_type(checker, f"edge_types[{index}]", value) for index, value in enumerate(request.edge_types))
    limit, _ = page(checker, request.limit, 0)
    query = Traversal(
        start=tuple(checker.id(f"start_node_ids[{index}]", id) for index, id in enumerate(request.start_node_ids)),
        edge_types=frozenset(type for type in edge_types if type is not None),
        direction=direction(checker, "direction", request.direction, Direction.OUTGOING),
        depth=depth(checker, request.depth, 1),
        limit=limit,
        at=at(checker, request),
    )
    checker.done()
    return query


def lineage(request: pb.LineageRequest) -> LineageQuery:
    """Return the query of a LineageRequest."""
    checker = Checker()
    lineage_direction = LineageDirection.UPSTREAM
    if request.direction:
        if request.direction in _LINEAGE_DIRECTIONS:
            lineage_direction = LineageDirection(request.direction)
        else:
            checker.add("direction", f"{request.direction} is no lineage direction")
    if not 0 <= request.limit <= MAX_LIMIT:
        checker.add("limit", f"is {request.limit}; must be between 0 and {MAX_LIMIT:,} (0 means all)")
    page(checker, 0, request.offset)
    query = LineageQuery(
        node_id=checker.id("node_id", request.node_id),
        direction=lineage_direction,
        depth=depth(checker, request.depth, DEFAULT_LINEAGE_DEPTH),
        at=at(checker, request),
    )
    checker.done()
    return query
