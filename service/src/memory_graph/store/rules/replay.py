"""The order in which a session is replayed: each node after its causes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import Generic, NamedTuple

from memory_graph.model.errors import NotFound
from memory_graph.model.kinds import CAUSE_IS_TARGET
from memory_graph.model.nodes import Edge, Node
from memory_graph.model.queries import ReplayStep
from memory_graph.store.rules.steps import Steps
from memory_graph.store.rules.traversal import GraphView, Link, N

_CAUSE_TARGET_NUMBERS = frozenset(int(type) for type in CAUSE_IS_TARGET)


class ReplayEntry(NamedTuple, Generic[N]):
    """A node of a session and its edges to nodes before it."""

    n: N
    links: list[Link[N]]


def replay_order(view: GraphView[N], session_id: str) -> Steps[list[ReplayEntry[N]]]:
    """Return the session and its nodes in causal order. Raises `NotFound` for an unknown session."""
    session: N | None = (yield view.keys((session_id,))).get(session_id)
    created: dict[N, int] = {}
    if session is not None:
        created = {key: at for at, key in (yield view.session(session))}
    if session is None or session not in created:
        raise NotFound("session", session_id)
    return topological_order(session, created, (yield view.links_within(created)))


def replay_steps(view: GraphView[N], entries: Sequence[ReplayEntry[N]]) -> Steps[list[ReplayStep]]:
    """Return entries with their content. One that has ended since it was ordered is left out."""
    links = [link for entry in entries for link in entry.links]
    keys = {entry.n for entry in entries} | {end for link in links for end in (link.src, link.dst)}
    nodes: dict[N, Node] = yield view.nodes(keys)
    edges: Sequence[Edge | None] = yield view.edges(links, nodes)
    rest = iter(edges)
    steps = []
    for entry in entries:
        of_entry = tuple([edge for _ in entry.links if (edge := next(rest)) is not None])
        if entry.n in nodes:
            steps.append(ReplayStep(nodes[entry.n], of_entry))
    return steps


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
        cause, effect = (link.dst, link.src) if link.type in _CAUSE_TARGET_NUMBERS else (link.src, link.dst)
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
    position = {n: index for index, n in enumerate(order)}
    return [
        ReplayEntry(n, [link for link in touching[n] if position[link.src] <= index and position[link.dst] <= index])
        for index, n in enumerate(order)
    ]
