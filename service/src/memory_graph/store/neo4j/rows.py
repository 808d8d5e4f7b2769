"""Nodes and edges as property maps. Content passes the codec on its way in and out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from memory_graph.model.nodes import Edge, Node, SessionData
from memory_graph.store.codec import NodeCodec
from memory_graph.store.neo4j.fulltext import tags_of, words_of
from memory_graph.store.neo4j.labels import NODE_TYPES, RELATIONSHIPS
from memory_graph.store.rules.counters import COUNTERS

NODE = "v.id, v.n, v.type, v.session_id, v.created_ns, v.updated_ns, v.recorded_at, v.uses, v.data"
"""Columns `Neo4jRows.node` reads: v is a :Node or a :NodeVersion."""
EDGE = "r.id, type(r), r.created_ns, r.recorded_at, r.properties, a.id, b.id"
"""Columns `Neo4jRows.edge` reads: a and b are the ends of r."""
EDGE_THEN = "r.id, r.type, r.created_ns, r.recorded_at, r.properties, r.from_id, r.to_id"
"""Columns `Neo4jRows.edge` reads of an :EdgeVersion r."""

Properties = dict[str, Any]

NODE_PROPERTIES = (
    "tenant", "id", "n", "type", "session_id", "created_ns", "updated_ns", "valid_from", "recorded_at", "data", "tags",
    "words", "active", "counts", "last_prompt",
)  # fmt: skip
"""What `Neo4jRows.new_node` may hold, and for a session its last prompt. The database adds `created_at`, which shows
`created_ns` as a time: making times here costs a hundred times as much."""
EDGE_PROPERTIES = ("tenant", "id", "n", "created_ns", "recorded_at", "chain", "properties")
"""What `Neo4jRows.new_edge` may hold."""


class Neo4jRows(NodeCodec):
    """Converts property maps to nodes and edges, and back."""

    def content(self, tenant: str, node: Node) -> Properties:
        """The properties that change when a node's data does."""
        return {
            "data": self.encode_data(tenant, node.id, node.data),
            "tags": tags_of(tenant, node.session_id, node.type, node.data),
            "words": words_of(node.data),
        }

    def new_node(self, tenant: str, node: Node, n: int) -> Properties:
        """All properties of a node that is created."""
        properties = {
            "tenant": tenant,
            "id": node.id,
            "n": n,
            "type": int(node.type),
            "created_ns": node.created_at,
            "updated_ns": node.updated_at,
            "valid_from": node.created_at,
            "recorded_at": node.recorded_at,
            **self.content(tenant, node),
        }
        if node.session_id is not None:
            properties["session_id"] = node.session_id
        if isinstance(node.data, SessionData):
            properties["active"] = node.data.is_active
            properties["counts"] = [0] * COUNTERS
        return properties

    def new_edge(self, tenant: str, edge: Edge, n: int) -> Properties:
        """All properties of an edge that is created."""
        properties = {
            "tenant": tenant,
            "id": edge.id,
            "n": n,
            "created_ns": edge.created_at,
            "recorded_at": edge.recorded_at,
        }
        stored = self.encode_properties(tenant, edge)
        if stored is not None:
            properties["properties"] = stored
        return properties

    def node(self, tenant: str, row: Sequence[Any]) -> Node:
        """The node of a row of `NODE` columns."""
        id, _, type, session_id, *times, uses, stored = row
        return self.to_node(tenant, id, NODE_TYPES[type], session_id, (times[0], times[1], times[2]), uses, stored)

    def edge(self, tenant: str, row: Sequence[Any]) -> Edge:
        """The edge of a row of `EDGE` columns."""
        id, type, created_ns, recorded_at, stored, from_id, to_id = row
        return Edge(
            id=id,
            type=RELATIONSHIPS[type],
            from_id=from_id,
            to_id=to_id,
            created_at=created_ns,
            properties=self.decode_properties(tenant, id, stored),
            recorded_at=recorded_at,
        )
