"""Ids of the nodes and edges that creations have to know before they are planned."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from memory_graph.model.mutations import CreateEdge, CreateNode

Key = tuple[str, str]
"""Tenant and id."""


class References(msgspec.Struct):
    """Keys without repetition, in the order they were named.

    created: nodes that are created, wanted whole where they exist. containers: nodes that change with a creation, or
    say which session does: parents, sessions, templates. ends: ends of edges. edges: edges that are created by
    themselves. attached: edges that come with a node, and links of chains; their ids are mostly the service's own.
    """

    created: dict[Key, None] = {}
    containers: dict[Key, None] = {}
    ends: dict[Key, None] = {}
    edges: dict[Key, None] = {}
    attached: dict[Key, None] = {}

    def add(self, tenant: str, mutation: CreateNode | CreateEdge) -> None:
        """Add what one creation names."""
        if isinstance(mutation, CreateEdge):
            edge = mutation.edge
            self.edges[tenant, edge.id] = None
            self.ends[tenant, edge.from_id] = None
            self.ends[tenant, edge.to_id] = None
            return
        node = mutation.node
        self.created[tenant, node.id] = None
        for id in (mutation.parent_id, node.session_id, mutation.counts_use_of):
            if id is not None and id != node.id:
                self.containers[tenant, id] = None
        for edge in mutation.edges:
            self.attached[tenant, edge.id] = None
            self.ends[tenant, edge.from_id] = None
            self.ends[tenant, edge.to_id] = None
        if mutation.follows_edge_id is not None:
            self.attached[tenant, mutation.follows_edge_id] = None

    @property
    def named(self) -> Iterable[Key]:
        """Nodes that are named and not created."""
        return [key for key in {**self.containers, **self.ends} if key not in self.created]
