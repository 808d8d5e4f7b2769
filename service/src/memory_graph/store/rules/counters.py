"""Counters of a tenant and of a session: how many nodes of each type, edges and open sessions there are.

A list of counters has the same layout everywhere: [EDGES] edges, [a node type's number] nodes of that type,
[ACTIVE_SESSIONS] open sessions. A session counts its nodes alone, itself among them.
"""

from __future__ import annotations

from collections.abc import Sequence

from memory_graph.model.kinds import NodeType
from memory_graph.model.queries import Stats

EDGES = 0
ACTIVE_SESSIONS = 12
COUNTERS = 13
"""The length of a list of counters."""


def nodes_in(counters: Sequence[int]) -> int:
    """The number of nodes of all types."""
    return sum(counters[1:ACTIVE_SESSIONS])


def nodes_matching(counters: Sequence[int], type: NodeType | None, *, in_session: bool) -> int:
    """The number of nodes that a filter by session and type matches; a session is not one of its own nodes."""
    if type is not None:
        return counters[type]
    return nodes_in(counters) - (counters[NodeType.SESSION] if in_session else 0)


def stats_of(counters: Sequence[int]) -> Stats:
    """The counters of a tenant, or their sums over tenants, as `stats` and `totals` answer them."""
    return Stats(
        nodes=nodes_in(counters),
        edges=counters[EDGES],
        sessions=counters[NodeType.SESSION],
        active_sessions=counters[ACTIVE_SESSIONS],
    )
