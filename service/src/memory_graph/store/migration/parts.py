"""The parts of a graph, whichever store holds it, and a checksum that shows whether two of them are the same."""

from __future__ import annotations

import hashlib
from enum import StrEnum

import msgspec

from memory_graph.model.nodes import Edge, Node

Ended = tuple[int, int] | None
"""valid_to and closed_at of a version; None for what is current."""


class SessionState(msgspec.Struct, frozen=True, array_like=True):
    """The state that a store keeps at a session's node. counts: in the order of `rules.counters`."""

    active: bool
    last_prompt: str | None
    counts: list[int]


class NodeRow(msgspec.Struct, frozen=True, array_like=True):
    """A node, or a version of one. n: its place in the order of storing. session: for the node of a session."""

    tenant: str
    n: int
    node: Node
    valid_from: int
    uses: int
    ended: Ended
    session: SessionState | None


class EdgeRow(msgspec.Struct, frozen=True, array_like=True):
    """An edge, or a version of one. from_n, to_n: n of its ends. chain: a link of its session's FOLLOWS chain."""

    tenant: str
    n: int
    edge: Edge
    from_n: int
    to_n: int
    chain: bool
    ended: Ended


class CommitRow(msgspec.Struct, frozen=True, array_like=True):
    """A commit of the change feed; events as `store.events` packs them."""

    tenant: str
    seq: int
    session_id: str | None
    recorded_at: int
    events: bytes


Row = NodeRow | EdgeRow | CommitRow


class GraphPart(StrEnum):
    """Parts of a graph, in the order they are moved: an edge needs its ends."""

    NODES = "nodes"
    EDGES = "edges"
    NODE_VERSIONS = "node versions"
    EDGE_VERSIONS = "edge versions"
    COMMITS = "commits"


class TenantRow(msgspec.Struct, frozen=True):
    """A tenant and its counters. counts: in the order of `rules.counters`. feed_floor: its newest commit that the
    feed has dropped."""

    name: str
    counts: list[int]
    feed_floor: int


class GlobalState(msgspec.Struct, frozen=True):
    """The state of a store that belongs to no row. seq: the newest commit, dropped: the newest one no longer kept; n
    and recorded_at: the highest given out. cursors: how far readers of the commit log have come, by name."""

    tenants: list[TenantRow]
    seq: int
    dropped: int
    n: int
    recorded_at: int
    cursors: dict[str, int]


class Checksum(msgspec.Struct):
    """Rows counted and summed up whatever their order: the sum of their digests, modulo 2^128."""

    rows: int = 0
    total: int = 0

    def add(self, row: Row) -> None:
        digest = hashlib.blake2b(msgspec.msgpack.encode(row), digest_size=16).digest()
        self.rows += 1
        self.total = (self.total + int.from_bytes(digest)) % (1 << 128)

    @property
    def text(self) -> str:
        """The sum, 32 hexadecimal digits."""
        return f"{self.total:032x}"
