"""Walking the graph, a layer at a time: paths from nodes, and what a node came from or led to."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import NamedTuple

from memory_graph.model.errors import NotFound
from memory_graph.model.kinds import LineageDirection
from memory_graph.model.nodes import Edge
from memory_graph.model.queries import LineageQuery, LineageStep, Path, Traversal
from memory_graph.store.neo4j.view import Link, Neo4jView, NodeKey, Origin
from memory_graph.store.rules.causality import DOWNSTREAM, MAX_LINEAGE_STEPS, UPSTREAM, TraversalRules

_ORIGIN_BATCH_SIZE = 500
"""From how many nodes one statement walks on."""


class Trail(NamedTuple):
    """A path whose nodes are not read yet."""

    nodes: tuple[NodeKey, ...]
    edges: tuple[Edge, ...]


async def trails(view: Neo4jView, asked: Traversal) -> list[Trail]:
    """Paths of one edge or more, shortest first, at most asked.limit. Raises `NotFound` for an unknown start."""
    found: list[Trail] = []
    layer = [Trail((key,), ()) for key in await _starts(view, asked.start)]
    for _ in range(asked.depth):
        longer: list[Trail] = []
        for first in range(0, len(layer), _ORIGIN_BATCH_SIZE):
            room = asked.limit - len(found) - len(longer)
            longer += await _longer(view, layer[first : first + _ORIGIN_BATCH_SIZE], asked, room)
            if len(found) + len(longer) >= asked.limit:
                return found + longer
        found += longer
        layer = longer
    return found


async def _starts(view: Neo4jView, ids: Sequence[str]) -> list[NodeKey]:
    keys = await view.keys(ids)
    for id in ids:
        if id not in keys:
            raise NotFound("node", id)
    return list(dict.fromkeys(keys[id] for id in ids))


async def _longer(view: Neo4jView, layer: Sequence[Trail], asked: Traversal, limit: int) -> list[Trail]:
    origins = [Origin(trail.nodes[-1], [id for _, id in trail.nodes]) for trail in layer]
    steps = [step async for step in view.links(origins, asked.direction, asked.edge_types, limit)]
    steps.sort(key=lambda step: (step[0], step[1].src != origins[step[0]].key, step[1].e.recorded_at))
    longer = []
    for index, link in steps:
        trail = layer[index]
        reached = link.dst if link.src == trail.nodes[-1] else link.src
        longer.append(Trail((*trail.nodes, reached), (*trail.edges, link.e)))
    return longer


async def paths(view: Neo4jView, found: Sequence[Trail]) -> list[Path]:
    """Trails with their nodes. One that has lost a node since it was found is left out."""
    nodes = await view.nodes({key for trail in found for key in trail.nodes})
    return [
        Path(tuple(nodes[key] for key in trail.nodes), trail.edges)
        for trail in found
        if all(key in nodes for key in trail.nodes)
    ]


_Reached = dict[NodeKey, tuple[int, Link | None]]


async def lineage(view: Neo4jView, asked: LineageQuery) -> list[LineageStep]:
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
        for key, (distance, link) in effects.items():
            if key not in reached or distance < -reached[key][0]:
                reached[key] = (distance, link)
    nodes = await view.nodes(reached)
    steps = [
        LineageStep(nodes[key], distance, None if link is None else link.e)
        for key, (distance, link) in reached.items()
        if key in nodes
    ]
    return sorted(steps, key=lambda step: step.distance)


async def _reach(
    view: Neo4jView, start: NodeKey, depth: int, rules: TraversalRules, sign: int, reached: _Reached
) -> None:
    layer = [start]
    for distance in range(1, depth + 1):
        following: list[NodeKey] = []
        for direction, types in rules:
            for first in range(0, len(layer), _ORIGIN_BATCH_SIZE):
                origins = [Origin(key, ()) for key in layer[first : first + _ORIGIN_BATCH_SIZE]]
                async with aclosing(view.links(origins, direction, types)) as links:
                    async for index, link in links:
                        end = link.dst if link.src == origins[index].key else link.src
                        if end in reached:
                            continue
                        if len(reached) > MAX_LINEAGE_STEPS:
                            return
                        reached[end] = (sign * distance, link)
                        following.append(end)
        layer = following
        if not layer:
            return
