"""The order in which a session happened."""

from __future__ import annotations

from collections.abc import Sequence

from memory_graph.model.errors import NotFound
from memory_graph.model.queries import ReplayStep
from memory_graph.store.rules import causality
from memory_graph.store.rules.causality import ReplayEntry
from memory_graph.store.sqlite.view import SqliteView


def replay_order(view: SqliteView, session_id: str) -> list[ReplayEntry[int]]:
    """The session and its nodes as they happened. Raises `NotFound` for an unknown session."""
    session = view.numbers((session_id,)).get(session_id)
    when = {n: at for at, n in view.session(session)} if session is not None else {}
    if session is None or session not in when:
        raise NotFound("session", session_id)
    return causality.topological_order(
        session, when, [link for link in view.links_from(list(when)) if link.dst in when]
    )


def steps(view: SqliteView, found: Sequence[ReplayEntry[int]]) -> list[ReplayStep]:
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
