"""The order in which a session happened."""

from __future__ import annotations

from collections.abc import Sequence

from memory_graph.model.errors import NotFound
from memory_graph.model.kinds import Direction
from memory_graph.model.queries import ReplayStep
from memory_graph.store import causal
from memory_graph.store.causal import Moment
from memory_graph.store.neo4j.view import Link, Place, Tail, View

_TAILS = 1_000


async def moments(view: View, session_id: str) -> list[Moment[Place]]:
    """The session and its nodes as they happened. Raises `NotFound` for an unknown session."""
    session = (await view.places((session_id,))).get(session_id)
    when = {place: at for at, place in await view.session(session_id)} if session is not None else {}
    if session is None or session not in when:
        raise NotFound("session", session_id)
    places = list(when)
    links: list[Link] = []
    for first in range(0, len(places), _TAILS):
        tails = [Tail(place, ()) for place in places[first : first + _TAILS]]
        links += [link async for _, link in view.links(tails, Direction.OUTGOING, frozenset()) if link.dst in when]
    return causal.happened(session, when, links)


async def steps(view: View, found: Sequence[Moment[Place]]) -> list[ReplayStep]:
    """Moments with their nodes. One that has ended since it was found is left out."""
    nodes = await view.nodes(
        {moment.n for moment in found} | {place for moment in found for link in moment.links for place in link[2:]}
    )
    return [
        ReplayStep(nodes[moment.n], tuple(link.e for link in moment.links if link.src in nodes and link.dst in nodes))
        for moment in found
        if moment.n in nodes
    ]
