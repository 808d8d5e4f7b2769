"""Walking the graph: paths from nodes, and what a node came from or led to. By number first; content is read after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from memory_graph.model.errors import NotFound
from memory_graph.model.kinds import LineageDirection
from memory_graph.model.queries import LineageQuery, LineageStep, Path, Traversal
from memory_graph.store.rules.causality import DOWNSTREAM, MAX_LINEAGE_STEPS, UPSTREAM, TraversalRules
from memory_graph.store.sqlite.view import Link, SqliteView

_LINK_BATCH_SIZE = 256


class Trail(NamedTuple):
    """A path by numbers."""

    nodes: tuple[int, ...]
    links: tuple[Link, ...]


def trails(view: SqliteView, asked: Traversal) -> list[Trail]:
    """Paths of one edge or more, shortest first, at most asked.limit. Raises `NotFound` for an unknown start."""
    found: list[Trail] = []
    layer = [Trail((n,), ()) for n in _starts(view, asked.start)]
    for _ in range(asked.depth):
        longer: list[Trail] = []
        for trail in layer:
            for link, n in _steps(view, trail, asked):
                longer.append(Trail((*trail.nodes, n), (*trail.links, link)))
                if len(found) + len(longer) >= asked.limit:
                    return found + longer
        found += longer
        layer = longer
    return found


def _starts(view: SqliteView, ids: Sequence[str]) -> list[int]:
    numbers = view.numbers(ids)
    for id in ids:
        if id not in numbers:
            raise NotFound("node", id)
    return list(dict.fromkeys(numbers[id] for id in ids))


def _steps(view: SqliteView, trail: Trail, asked: Traversal) -> Iterator[tuple[Link, int]]:
    tail = trail.nodes[-1]
    for links in _in_chunks(view.links(tail, asked.direction, asked.edge_types)):
        reached = [(link, link.dst if link.src == tail else link.src) for link in links]
        visible = view.visible(n for _, n in reached)
        yield from ((link, n) for link, n in reached if n in visible and n not in trail.nodes)


def _in_chunks(links: Iterator[Link]) -> Iterator[list[Link]]:
    chunk: list[Link] = []
    for link in links:
        chunk.append(link)
        if len(chunk) == _LINK_BATCH_SIZE:
            yield chunk
            chunk = []
    yield chunk


def paths(view: SqliteView, found: Sequence[Trail]) -> list[Path]:
    """Trails with their content. One that has lost a part since it was found is left out."""
    nodes = view.nodes({n for trail in found for n in trail.nodes})
    edges = view.edges((link for trail in found for link in trail.links), nodes)
    return [
        Path(tuple(nodes[n] for n in trail.nodes), tuple(edges[link.e] for link in trail.links))
        for trail in found
        if all(n in nodes for n in trail.nodes) and all(link.e in edges for link in trail.links)
    ]


def lineage(view: SqliteView, asked: LineageQuery) -> list[LineageStep]:
    """Causes and effects by shortest distance; a node that is both is named where it is nearer, upstream if equal.

    Raises `NotFound` for an unknown node.
    """
    (start,) = _starts(view, (asked.node_id,))
    reached: dict[int, tuple[int, Link | None]] = {start: (0, None)}
    if asked.direction is not LineageDirection.DOWNSTREAM:
        _reach(view, start, asked.depth, UPSTREAM, -1, reached)
    if asked.direction is not LineageDirection.UPSTREAM:
        effects: dict[int, tuple[int, Link | None]] = {start: (0, None)}
        _reach(view, start, asked.depth, DOWNSTREAM, 1, effects)
        for n, (distance, link) in effects.items():
            if n not in reached or distance < -reached[n][0]:
                reached[n] = (distance, link)
    nodes = view.nodes(reached)
    edges = view.edges((link for _, link in reached.values() if link is not None), nodes)
    steps = [
        LineageStep(nodes[n], distance, None if link is None else edges[link.e])
        for n, (distance, link) in reached.items()
        if n in nodes and (link is None or link.e in edges)
    ]
    return sorted(steps, key=lambda step: step.distance)


def _reach(
    view: SqliteView,
    start: int,
    depth: int,
    rules: TraversalRules,
    sign: int,
    reached: dict[int, tuple[int, Link | None]],
) -> None:
    layer = [start]
    for distance in range(1, depth + 1):
        following: list[int] = []
        for n in layer:
            for direction, types in rules:
                for links in _in_chunks(view.links(n, direction, types)):
                    ends = [(link, link.dst if link.src == n else link.src) for link in links]
                    visible = view.visible(end for _, end in ends)
                    for link, end in ends:
                        if end in visible and end not in reached:
                            if len(reached) > MAX_LINEAGE_STEPS:
                                return
                            reached[end] = (sign * distance, link)
                            following.append(end)
        layer = following
