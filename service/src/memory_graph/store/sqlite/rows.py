"""Nodes and edges as rows. Content passes the codec on its way in and out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from memory_graph.model.attributes import attributes, text
from memory_graph.model.kinds import EdgeType, NodeType
from memory_graph.model.nodes import Edge, Node, NodeData
from memory_graph.store.codec import NodeCodec
from memory_graph.store.ids import to_text

NODE = "v.n, v.id, v.type, s.id, v.created_at, v.updated_at, v.recorded_at, v.uses, v.data"
"""Columns `SqliteRows.node` reads: v is a node or a version of one, s its row in sessions."""
LINK = "g.e, g.id, g.type, g.created_at, g.recorded_at, g.properties"
"""Columns `SqliteRows.link` reads: g is an edge or a version of one."""
EDGE = f"{LINK}, a.id, b.id"
"""Columns `SqliteRows.edge` reads: those of `LINK`, and a and b are its ends."""

Row = Sequence[Any]
"""A row as apsw gives it."""

_LONGEST_VALUE = 200
NODE_TYPES = {int(type): type for type in NodeType}
_EDGE_TYPES = {int(type): type for type in EdgeType}


class SqliteRows(NodeCodec):
    """Converts rows to nodes and edges, and back."""

    def node(self, tenant: str, row: Row) -> Node:
        """The node of a row of `NODE` columns."""
        _, raw, type, session, created_at, updated_at, recorded_at, uses, stored = row
        session_id = None if session is None else to_text(session)
        times = (created_at, updated_at, recorded_at)
        return self.to_node(tenant, to_text(raw), NODE_TYPES[type], session_id, times, uses, stored)

    def edge(self, tenant: str, row: Row) -> Edge:
        """The edge of a row of `EDGE` columns."""
        *columns, source, target = row
        return self.link(tenant, columns, to_text(source), to_text(target))

    def link(self, tenant: str, row: Row, from_id: str, to_id: str) -> Edge:
        """The edge of a row of `LINK` columns between two nodes that are known."""
        _, raw, type, created_at, recorded_at, properties = row
        id = to_text(raw)
        return Edge(
            id=id,
            type=_EDGE_TYPES[type],
            from_id=from_id,
            to_id=to_id,
            created_at=created_at,
            properties=self.decode_properties(tenant, id, properties),
            recorded_at=recorded_at,
        )


def attribute_value(value: str) -> str | bytes:
    """A value in the attribute index; a long one is replaced by its digest, so that rows stay small."""
    return value if len(value) <= _LONGEST_VALUE else hashlib.sha256(value.encode()).digest()


def attribute_rows(tenant: int, n: int, created_at: int, data: NodeData) -> Iterator[tuple[Any, ...]]:
    """The rows of `attributes` of a node."""
    for name, value in attributes(data):
        yield tenant, name, attribute_value(value), created_at, n


def text_row(tenant: int, n: int, session: int, data: NodeData) -> tuple[int, str, str] | None:
    """The row of `texts` of a node; None for one without words."""
    content = text(data)
    return (n, text_scope(tenant, session), content) if content else None


def text_scope(tenant: int, session: int) -> str:
    """Words of a node's scope column: a search names one of them, so it reads no other tenant's or session's words."""
    return f"t{tenant} s{session}" if session else f"t{tenant}"
