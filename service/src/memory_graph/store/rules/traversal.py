"""Paths from nodes along edges. The walk follows internal keys first and reads content afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from memory_graph.model.errors import NotFound
from memory_graph.model.kinds import Direction, EdgeType
from memory_graph.model.nodes import Edge, Node
from memory_graph.model.queries import Path, Traversal
from memory_graph.store.rules.steps import Steps

N = TypeVar("N", bound=int | tuple[int, str])
"""The store's own key of a node; keys of later-stored nodes sort after those of earlier ones."""


class Link(NamedTuple, Generic[N]):
    """An edge between keys. e: its key, or the edge itself."""

    e: Any
    type: int
    src: N
    dst: N


def other_end(link: Link[N], key: N) -> N:
    """The end of a link that is not `key`; a loop has it twice."""
    return link.dst if link.src == key else link.src


class Origin(NamedTuple, Generic[N]):
    """A node to walk on from. excluded: nodes that edges must not lead to."""

    key: N
    excluded: Sequence[N] = ()


class Trail(NamedTuple, Generic[N]):
    """A path whose content is not read yet."""

    nodes: tuple[N, ...]
    links: tuple[Link[N], ...]


class GraphView(Protocol[N]):
    """The graph of one tenant at one point in time, as a store shows it to rules. Methods may return awaitables."""

    origin_batch_size: int
    """From how many nodes the store walks on at once."""

    def keys(self, ids: Sequence[str]) -> Any:  # noqa: ANN401
        """Return the keys of the nodes that are visible, by id."""

    def nodes(self, keys: Iterable[N]) -> Any:  # noqa: ANN401
        """Return visible nodes by key."""

    def edges(self, links: Sequence[Link[N]], nodes: Mapping[N, Node]) -> Any:  # noqa: ANN401
        """Return the edge of each link, None for one that is not visible or has an end that is not among `nodes`."""

    def links(
        self,
        origins: Sequence[Origin[N]],
        direction: Direction,
        types: frozenset[EdgeType],
        take: Callable[[int, Link[N]], object],
        limit: int | None = None,
    ) -> Any:  # noqa: ANN401
        """Call `take` with visible edges (types: empty for all) that lead to a visible node, each with the index of its
        origin, until it returns something true. With a limit there are at most so many, those of an origin together
        and those that leave it first."""

    def session(self, key: N) -> Any:  # noqa: ANN401
        """Return created_at and key of a session and its nodes."""

    def links_within(self, keys: Mapping[N, int]) -> Any:  # noqa: ANN401
        """Return all edges between some nodes."""


def trails(view: GraphView[N], traversal: Traversal) -> Steps[list[Trail[N]]]:
    """Return paths of one edge or more, shortest first, at most `traversal.limit`. Raises `NotFound` for an unknown
    start."""
    walked: list[Trail[N]] = []
    layer: list[Trail[N]] = [Trail((key,), ()) for key in (yield from starts(view, traversal.start))]
    for _ in range(traversal.depth):
        longer: list[Trail[N]] = []
        for first in range(0, len(layer), view.origin_batch_size):
            batch = layer[first : first + view.origin_batch_size]
            steps: list[tuple[int, Link[N]]] = []
            yield view.links(
                [Origin(trail.nodes[-1], trail.nodes) for trail in batch],
                traversal.direction,
                traversal.edge_types,
                _append_to(steps),
                traversal.limit - len(walked) - len(longer),
            )
            longer += [_extended(batch[index], link) for index, link in steps]
            if len(walked) + len(longer) >= traversal.limit:
                return walked + longer
        walked += longer
        layer = longer
    return walked


def _extended(trail: Trail[N], link: Link[N]) -> Trail[N]:
    end = other_end(link, trail.nodes[-1])
    return Trail((*trail.nodes, end), (*trail.links, link))


def _append_to(steps: list[tuple[int, Link[N]]]) -> Callable[[int, Link[N]], object]:
    return lambda index, link: steps.append((index, link))


def starts(view: GraphView[N], ids: Sequence[str]) -> Steps[list[N]]:
    """Return the keys of nodes to start from. Raises `NotFound`."""
    keys: dict[str, N] = yield view.keys(ids)
    for id in ids:
        if id not in keys:
            raise NotFound("node", id)
    return list(dict.fromkeys(keys[id] for id in ids))


def paths(view: GraphView[N], trails: Sequence[Trail[N]]) -> Steps[list[Path]]:
    """Return trails with their content. One that has lost a part since it was walked is left out."""
    nodes: dict[N, Node] = yield view.nodes({key for trail in trails for key in trail.nodes})
    edges: Sequence[Edge | None] = yield view.edges([link for trail in trails for link in trail.links], nodes)
    rest = iter(edges)
    complete = []
    for trail in trails:
        of_trail = [edge for _ in trail.links if (edge := next(rest)) is not None]
        if len(of_trail) == len(trail.links) and all(key in nodes for key in trail.nodes):
            complete.append(Path(tuple([nodes[key] for key in trail.nodes]), tuple(of_trail)))
    return complete
