"""The order in which a session happened."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from memory_graph.model.errors import NotFound
from memory_graph.model.kinds import CAUSE_IS_TARGET
from memory_graph.model.queries import ReplayStep
from memory_graph.store.sqlite.view import Link, View

_CAUSE_IS_TARGET = frozenset(int(type) for type in CAUSE_IS_TARGET)


class Moment(NamedTuple):
    """A node of a session and its edges to nodes before it, by number."""

    n: int
    links: list[Link]


def moments(view: View, session_id: str) -> list[Moment]:
    """The session, then its nodes, each after its causes and else by created_at; a ring of causes is entered at its
    oldest node. Raises `NotFound` for an unknown session."""
    session = view.numbers((session_id,)).get(session_id)
    when = {n: at for at, n in view.session(session)} if session is not None else {}
    if session is None or session not in when:
        raise NotFound("session", session_id)
    links = [link for link in view.links_from(list(when)) if link.dst in when]
    touching: dict[int, list[Link]] = {n: [] for n in when}
    for link in links:
        touching[link.src].append(link)
        if link.dst != link.src:
            touching[link.dst].append(link)
    return _with_links(_order(session, when, links), touching)


def _order(session: int, when: dict[int, int], links: Sequence[Link]) -> list[int]:
    effects: dict[int, list[int]] = {n: [] for n in when}
    causes = dict.fromkeys(when, 0)
    for link in links:
        cause, effect = (link.dst, link.src) if link.type in _CAUSE_IS_TARGET else (link.src, link.dst)
        if cause != effect:
            effects[cause].append(effect)
            causes[effect] += 1
    waiting = sorted((at, n) for n, at in when.items())
    ready = [(when[n], n) for n, count in causes.items() if not count and n != session]
    heapify(ready)
    order: list[int] = []
    done: set[int] = set()
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


def _with_links(order: Sequence[int], touching: dict[int, list[Link]]) -> list[Moment]:
    place = {n: index for index, n in enumerate(order)}
    return [
        Moment(n, [link for link in touching[n] if place[link.src] <= index and place[link.dst] <= index])
        for index, n in enumerate(order)
    ]


def steps(view: View, found: Sequence[Moment]) -> list[ReplayStep]:
    """Moments with their content. One that has ended since it was found is left out."""
    links = [link for moment in found for link in moment.links]
    ends = {moment.n for moment in found} | {n for link in links for n in (link.src, link.dst)}
    nodes = view.nodes(ends)
    edges = view.edges(links, nodes)
    return [
        ReplayStep(nodes[moment.n], tuple(edges[link.e] for link in moment.links if link.e in edges))
        for moment in found
        if moment.n in nodes
    ]
