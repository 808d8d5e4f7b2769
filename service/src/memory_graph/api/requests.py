"""The checks of gRPC requests, and the model's values and queries made of them; each violation names its field.

The rules of nodes and edges from any source are in `ingest.checks`; those of telemetry streams in `telemetry_requests`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from memory_graph.api.feed import position
from memory_graph.api.from_wire import DATA_FROM_WIRE
from memory_graph.api.rpc import Call
from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb
from memory_graph.ingest.checks import Checker, data_path
from memory_graph.model.attributes import FILTER_KEYS, FILTER_PREFIXES
from memory_graph.model.errors import Invalid, Violation
from memory_graph.model.kinds import Direction, EdgeType, EventType, LineageDirection, NodeType
from memory_graph.model.nodes import Edge, Node, PromptData
from memory_graph.model.queries import (
    DEFAULT_LIMIT,
    MAX_DEPTH,
    MAX_LIMIT,
    LineageQuery,
    NodeFilter,
    PointInTime,
    Traversal,
)
from memory_graph.model.times import NS_PER_S

DEFAULT_LINEAGE_DEPTH = 3
_EVENT_TYPES: frozenset[int] = frozenset(EventType)
_DIRECTIONS: frozenset[int] = frozenset(Direction)
_LINEAGE_DIRECTIONS: frozenset[int] = frozenset(LineageDirection)
_NODE_TYPES: frozenset[int] = frozenset(NodeType)
_EDGE_TYPES: frozenset[int] = frozenset(EdgeType)
MAX_TIMESTAMP_S = (1 << 63) // NS_PER_S - 1
"""The last second the graph can hold, in 2262."""


def one_id(field: str, value: str) -> str:
    """Return the canonical id of a request with one id; raises `Invalid` if it is no id."""
    checker = Checker()
    id = checker.id(field, value)
    checker.done()
    return id


def nanoseconds(checker: Checker, field: str, value: Timestamp) -> int:
    """Return nanoseconds since the epoch; a time outside of 1970..2262 is a violation."""
    if not 0 <= value.seconds <= MAX_TIMESTAMP_S or not 0 <= value.nanos < NS_PER_S:
        checker.add(field, "must be a time between 1970-01-01 and 2262-04-11")
        return 0
    return value.seconds * NS_PER_S + value.nanos


def node(checker: Checker, path: str, message: pb.Node, *, new_id: Callable[[], str], now: int) -> Node | None:
    """Return a node of a request, or add violations and return None.

    The id may stand in the node or in its data; a node without one gets a new id. created_at may stand in the node, or
    as the data's own time; a node without one was created `now`.
    """
    arm = message.WhichOneof("node_data")
    if arm is None:
        checker.add(
            f"{path}.node_data",
            "one of prompt, response, tool_invocation, agent, template, session … must be set",
        )
        return None
    if message.type not in _NODE_TYPES:
        checker.add(f"{path}.type", f"{message.type} is no node type" if message.type else "must be specified")
        return None
    data = getattr(message, arm)
    if message.id and data.id and message.id.lower() != data.id.lower():
        checker.add(f"{data_path(path, arm)}.id", f"is {data.id}, the node's id is {message.id}")
    explicit_id = message.id or data.id
    id = checker.id(f"{path}.id", explicit_id) if explicit_id else new_id()
    time_field = "timestamp" if "timestamp" in data.DESCRIPTOR.fields_by_name else "created_at"
    created = now
    if message.HasField("created_at"):
        created = nanoseconds(checker, f"{path}.created_at", message.created_at)
    elif data.HasField(time_field):
        created = nanoseconds(checker, f"{data_path(path, arm)}.{time_field}", getattr(data, time_field))
    value = DATA_FROM_WIRE[arm](data)
    session_id = id if arm == "session" else value.session_id if isinstance(value, PromptData) else None
    return Node(
        id=id, type=NodeType(message.type), data=value, created_at=created, updated_at=now, session_id=session_id
    )


def edge(checker: Checker, path: str, message: pb.Edge, *, new_id: Callable[[], str], now: int) -> Edge | None:
    """Return an edge of a request, or add violations and return None."""
    if message.type not in _EDGE_TYPES:
        checker.add(f"{path}.type", f"{message.type} is no edge type" if message.type else "must be specified")
        return None
    return Edge(
        id=checker.id(f"{path}.id", message.id) if message.id else new_id(),
        type=EdgeType(message.type),
        from_id=message.from_node_id.lower(),
        to_id=message.to_node_id.lower(),
        created_at=nanoseconds(checker, f"{path}.created_at", message.created_at)
        if message.HasField("created_at")
        else now,
        properties=dict(message.properties),
    )


def updated_node(request: pb.UpdateNodeRequest, *, new_id: Callable[[], str], now: int) -> Node:
    """Return the node of an UpdateNodeRequest, which must name its id."""
    checker = Checker()
    if not request.node.id:
        checker.add("node.id", "must not be empty")
    updated = node(checker, "node", request.node, new_id=new_id, now=now)
    checker.done()
    assert updated is not None
    return updated


def created_nodes(
    messages: Sequence[pb.Node], paths: Sequence[str], *, new_id: Callable[[], str], now: int
) -> list[Node]:
    """Return the nodes of a request, at most MAX_LIMIT, at their paths in it."""
    if len(messages) > MAX_LIMIT:
        raise Invalid(Violation("nodes", f"has {len(messages):,} nodes; at most {MAX_LIMIT:,} are accepted"))
    checker = Checker()
    nodes = [
        node(checker, path, message, new_id=new_id, now=now) for message, path in zip(messages, paths, strict=True)
    ]
    checker.done()
    return [created for created in nodes if created is not None]


def created_edge(request: pb.CreateEdgeRequest, *, new_id: Callable[[], str], now: int) -> Edge:
    """Return the edge of a CreateEdgeRequest."""
    checker = Checker()
    created = edge(checker, "edge", request.edge, new_id=new_id, now=now)
    checker.done()
    assert created is not None
    return created


def node_ids(request: pb.BatchGetNodesRequest) -> list[str]:
    """Return the ids of a BatchGetNodesRequest, at most MAX_LIMIT."""
    checker = Checker()
    if len(request.node_ids) > MAX_LIMIT:
        checker.add("node_ids", f"has {len(request.node_ids):,} ids; at most {MAX_LIMIT:,} are accepted")
    ids = [checker.id(f"node_ids[{index}]", id) for index, id in enumerate(request.node_ids)]
    checker.done()
    return ids


def events(request: pb.StreamEventsRequest) -> tuple[str | None, frozenset[int]]:
    """Return the session and the event types of a StreamEventsRequest; None and an empty set mean all."""
    checker = Checker()
    session_id = checker.id("session_id", request.session_id) if request.HasField("session_id") else None
    for index, value in enumerate(request.event_types):
        if value not in _EVENT_TYPES:
            checker.add(f"event_types[{index}]", f"{value} is no event type" if value else "must be specified")
    checker.done()
    return session_id, frozenset(request.event_types)


def last_event_id(call: Call) -> str | None:
    """Return the event after which a client resumes the feed: its `last-event-id` (contract §1).

    Raises:
        Invalid: if it is no event id.
    """
    after = call.metadata("last-event-id")
    if after is not None:
        try:
            position(after)
        except ValueError:
            raise Invalid(
                Violation("last-event-id", f"{after[:64]!r} is no event id; give the id of an event as it was received")
            ) from None
    return after


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
    if node_type and node_type not in _NODE_TYPES:
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
    if value not in _EDGE_TYPES:
        checker.add(field, f"{value} is no edge type" if value else "must be specified")
        return None
    return EdgeType(value)


def depth(checker: Checker, value: int, default: int) -> int:
    """Return the number of edges to follow; 0 means `default`."""
    if not 0 <= value <= MAX_DEPTH:
        checker.add("depth", f"is {value}; must be between 1 and {MAX_DEPTH}")
    return value or default


def at(checker: Checker, request: pb.TraverseRequest | pb.LineageRequest | pb.SessionReplayRequest) -> PointInTime:
    """Return the point in time of a read."""

    def time(field: str, value: Timestamp) -> int | None:
        return nanoseconds(checker, field, value) if request.HasField(field) else None

    return PointInTime(as_of=time("as_of", request.as_of), known_at=time("known_at", request.known_at))


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
