"""Labels of nodes and types of relationships, so that the database reads as contract §1 in Neo4j Browser."""

from __future__ import annotations

from memory_graph.model.kinds import EdgeType, NodeType

LABELS = {type: "".join(word.capitalize() for word in type.name.split("_")) for type in NodeType}
"""The second label of a node, beside `Node`: `PERFORMANCE_METRIC` is `PerformanceMetric`."""
RELATIONSHIPS = {type.name: type for type in EdgeType}
"""Edge types by the relationship type that stands for them, which is their own name."""
NODE_TYPES = {int(type): type for type in NodeType}
EDGE_NUMBERS = {type.name: int(type) for type in EdgeType}
