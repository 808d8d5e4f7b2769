"""Cause and effect along edges: which way lineage walks, and the order in which a session happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import Any, Generic, NamedTuple, TypeVar

from memory_graph.model.kinds import CAUSE_IS_TARGET, Direction, EdgeType

MAX_LINEAGE_STEPS = 10_000
"""The nearest nodes a lineage names in each direction."""

_CAUSE_IS_SOURCE = frozenset(EdgeType) - CAUSE_IS_TARGET
TraversalRules = tuple[tuple[Direction, frozenset[EdgeType]], ...]
"""Directions to walk, with the edge types to walk there."""
UPSTREAM: TraversalRules = ((Direction.OUTGOING, CAUSE_IS_TARGET), (Direction.INCOMING, _CAUSE_IS_SOURCE))
DOWNSTREAM: TraversalRules = ((Direction.INCOMING, CAUSE_IS_TARGET), (Direction.OUTGOING, _CAUSE_IS_SOURCE))
_CAUSE_IS_TARGET = frozenset(int(type) for type in CAUSE_IS_TARGET)

N = TypeVar("N", int, tuple[int, str])
"""What a store knows a node by; later-stored nodes sort after earlier ones."""


class Link(NamedTuple, Generic[N]):
    """An edge by what the store knows it and its ends by."""

    e: Any
    type: int
    src: N
    dst: N


class ReplayEntry(NamedTuple, Generic[N]):
    """A node of a session and its edges to nodes before it."""

    n: N
    links: list[Link[N]]


def topological_order(session: N, when: Mapping[N, int], links: Sequence[Link[N]]) -> list[ReplayEntry[N]]:
    """The session, then its nodes, each after its causes and else by created_at; a ring of causes is entered at its
    oldest node. when: created_at of the session and its nodes. links: between them."""
    touching: dict[N, list[Link[N]]] = {n: [] for n in when}
    for link in links:
        touching[link.src].append(link)
        if link.dst != link.src:
            touching[link.dst].append(link)
    return _with_links(_order(session, when, links), touching)


def _order(session: N, when: Mapping[N, int], links: Sequence[Link[N]]) -> list[N]:
    effects: dict[N, list[N]] = {n: [] for n in when}
    causes: dict[N, int] = dict.fromkeys(when, 0)
    for link in links:
        cause, effect = (link.dst, link.src) if link.type in _CAUSE_IS_TARGET else (link.src, link.dst)
        if cause != effect:
            effects[cause].append(effect)
            causes[effect] += 1
    waiting = sorted((at, n) for n, at in when.items())
    ready = [(when[n], n) for n, count in causes.items() if not count and n != session]
    heapify(ready)
    order: list[N] = []
    done: set[N] = set()
    oldest = iter(waiting)
    following = session
    while True:
        order.append(following)
        done.add(following)
        for effect in effects[following]:
            causes[effect] -= 1
            if not causes[effect] and effect not in done:
                heappush(ready, (when[effect], effect))
        while ready and ready[0][1] in done:
            heappop(ready)
        if ready:
            following = heappop(ready)[1]
            continue
        in_a_ring = next((n for _, n in oldest if n not in done), None)
        if in_a_ring is None:
            return order
        following = in_a_ring


def _with_links(order: Sequence[N], touching: Mapping[N, list[Link[N]]]) -> list[ReplayEntry[N]]:
    place = {n: index for index, n in enumerate(order)}
    return [
        ReplayEntry(n, [link for link in touching[n] if place[link.src] <= index and place[link.dst] <= index])
        for index, n in enumerate(order)
    ]
