"""Walking the graph, a layer at a time: paths from nodes, and what a node came from or led to."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import NamedTuple

from memory_graph.model.errors import NotFound
from memory_graph.model.kinds import LineageDirection
from memory_graph.model.nodes import Edge
from memory_graph.model.queries import LineageQuery, LineageStep, Path, Traversal
from memory_graph.store.causal import DOWNSTREAM, MOST_STEPS, UPSTREAM, Ways
from memory_graph.store.neo4j.view import Link, Place, Tail, View

_TAILS = 500
"""From how many nodes one statement walks on."""


class Trail(NamedTuple):
    """A path whose nodes are not read yet."""

    nodes: tuple[Place, ...]
    edges: tuple[Edge, ...]


async def trails(view: View, asked: Traversal) -> list[Trail]:
    """Paths of one edge or more, shortest first, at most asked.limit. Raises `NotFound` for an unknown start."""
    found: list[Trail] = []
    layer = [Trail((place,), ()) for place in await _starts(view, asked.start)]
    for _ in range(asked.depth):
        longer: list[Trail] = []
        for first in range(0, len(layer), _TAILS):
            room = asked.limit - len(found) - len(longer)
            longer += await _longer(view, layer[first : first + _TAILS], asked, room)
            if len(found) + len(longer) >= asked.limit:
                return found + longer
        found += longer
        layer = longer
    return found


async def _starts(view: View, ids: Sequence[str]) -> list[Place]:
    places = await view.places(ids)
    for id in ids:
        if id not in places:
            raise NotFound("node", id)
    return list(dict.fromkeys(places[id] for id in ids))


async def _longer(view: View, layer: Sequence[Trail], asked: Traversal, limit: int) -> list[Trail]:
    tails = [Tail(trail.nodes[-1], [id for _, id in trail.nodes]) for trail in layer]
    steps = [step async for step in view.links(tails, asked.direction, asked.edge_types, limit)]
    steps.sort(key=lambda step: (step[0], step[1].src != tails[step[0]].place, step[1].e.recorded_at))
    longer = []
    for index, link in steps:
        trail = layer[index]
        reached = link.dst if link.src == trail.nodes[-1] else link.src
        longer.append(Trail((*trail.nodes, reached), (*trail.edges, link.e)))
    return longer


async def paths(view: View, found: Sequence[Trail]) -> list[Path]:
    """Trails with their nodes. One that has lost a node since it was found is left out."""
    nodes = await view.nodes({place for trail in found for place in trail.nodes})
    return [
        Path(tuple(nodes[place] for place in trail.nodes), trail.edges)
        for trail in found
        if all(place in nodes for place in trail.nodes)
    ]


_Reached = dict[Place, tuple[int, Link | None]]


async def lineage(view: View, asked: LineageQuery) -> list[LineageStep]:
    """Causes and effects by shortest distance; a node that is both is named where it is nearer, upstream if equal.

    Raises `NotFound` for an unknown node.
    """
    (start,) = await _starts(view, (asked.node_id,))
    reached: _Reached = {start: (0, None)}
    if asked.direction is not LineageDirection.DOWNSTREAM:
        await _reach(view, start, asked.depth, UPSTREAM, -1, reached)
    if asked.direction is not LineageDirection.UPSTREAM:
        effects: _Reached = {start: (0, None)}
        await _reach(view, start, asked.depth, DOWNSTREAM, 1, effects)
        for place, (distance, link) in effects.items():
            if place not in reached or distance < -reached[place][0]:
                reached[place] = (distance, link)
    nodes = await view.nodes(reached)
    steps = [
        LineageStep(nodes[place], distance, None if link is None else link.e)
        for place, (distance, link) in reached.items()
        if place in nodes
    ]
    return sorted(steps, key=lambda step: step.distance)


async def _reach(view: View, start: Place, depth: int, ways: Ways, sign: int, reached: _Reached) -> None:
    layer = [start]
    for distance in range(1, depth + 1):
        following: list[Place] = []
        for direction, types in ways:
            for first in range(0, len(layer), _TAILS):
                tails = [Tail(place, ()) for place in layer[first : first + _TAILS]]
                async with aclosing(view.links(tails, direction, types)) as links:
                    async for index, link in links:
                        end = link.dst if link.src == tails[index].place else link.src
                        if end in reached:
                            continue
                        if len(reached) > MOST_STEPS:
                            return
                        reached[end] = (sign * distance, link)
                        following.append(end)
        layer = following
        if not layer:
            return
