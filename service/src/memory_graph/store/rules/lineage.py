"""Causes and effects of a node, along edges in the direction that each type of edge has its cause."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple

from memory_graph.model.kinds import CAUSE_IS_TARGET, Direction, EdgeType, LineageDirection
from memory_graph.model.nodes import Edge, Node
from memory_graph.model.queries import LineageQuery, LineageStep
from memory_graph.store.rules.steps import Steps
from memory_graph.store.rules.traversal import GraphView, Link, N, Origin, other_end, starts

MAX_LINEAGE_STEPS = 10_000
"""The nearest nodes a lineage names in each direction."""

TraversalRules = tuple[tuple[Direction, frozenset[EdgeType]], ...]
"""Directions to walk, with the edge types to walk there."""
_CAUSE_IS_SOURCE = frozenset(EdgeType) - CAUSE_IS_TARGET
UPSTREAM: TraversalRules = ((Direction.OUTGOING, CAUSE_IS_TARGET), (Direction.INCOMING, _CAUSE_IS_SOURCE))
DOWNSTREAM: TraversalRules = ((Direction.INCOMING, CAUSE_IS_TARGET), (Direction.OUTGOING, _CAUSE_IS_SOURCE))


class _Arrival(NamedTuple, Generic[N]):
    """The first arrival of a walk at a node. distance: in edges, negative upstream."""

    distance: int
    link: Link[N] | None


def lineage(view: GraphView[N], query: LineageQuery) -> Steps[list[LineageStep]]:
    """Return causes and effects by shortest distance; a node that is both is named where it is nearer, upstream if
    equal. Raises `NotFound` for an unknown node."""
    (start,) = yield from starts(view, (query.node_id,))
    arrivals: dict[N, _Arrival[N]] = {start: _Arrival(0, None)}
    if query.direction is not LineageDirection.DOWNSTREAM:
        yield from _walk(view, start, query.depth, UPSTREAM, -1, arrivals)
    if query.direction is not LineageDirection.UPSTREAM:
        effects: dict[N, _Arrival[N]] = {start: _Arrival(0, None)}
        yield from _walk(view, start, query.depth, DOWNSTREAM, 1, effects)
        for key, arrival in effects.items():
            if key not in arrivals or arrival.distance < -arrivals[key].distance:
                arrivals[key] = arrival
    nodes: dict[N, Node] = yield view.nodes(arrivals)
    edges: Sequence[Edge | None] = yield view.edges([link for _, link in arrivals.values() if link is not None], nodes)
    rest = iter(edges)
    steps = []
    for key, (distance, link) in arrivals.items():
        edge = None if link is None else next(rest)
        if key in nodes and (edge is None) is (link is None):
            steps.append(LineageStep(nodes[key], distance, edge))
    return sorted(steps, key=lambda step: step.distance)


def _walk(
    view: GraphView[N],
    start: N,
    depth: int,
    rules: TraversalRules,
    sign: int,
    arrivals: dict[N, _Arrival[N]],
) -> Steps[None]:
    layer = [start]
    for distance in range(1, depth + 1):
        following: list[N] = []
        for first in range(0, len(layer), view.origin_batch_size):
            origins = [Origin(key) for key in layer[first : first + view.origin_batch_size]]
            for direction, types in rules:
                yield view.links(origins, direction, types, _arrive(origins, sign * distance, arrivals, following))
                if len(arrivals) > MAX_LINEAGE_STEPS:
                    return
        layer = following


def _arrive(
    origins: Sequence[Origin[N]], distance: int, arrivals: dict[N, _Arrival[N]], following: list[N]
) -> Callable[[int, Link[N]], bool]:
    """A function that notes the node a link leads to unless it was reached before; true once there are enough."""

    def arrive(index: int, link: Link[N]) -> bool:
        end = other_end(link, origins[index].key)
        if end not in arrivals:
            arrivals[end] = _Arrival(distance, link)
            following.append(end)
        return len(arrivals) > MAX_LINEAGE_STEPS

    return arrive
