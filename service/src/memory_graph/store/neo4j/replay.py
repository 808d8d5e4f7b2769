"""The order in which a session happened."""

from __future__ import annotations

from collections.abc import Sequence

from memory_graph.model.errors import NotFound
from memory_graph.model.kinds import Direction
from memory_graph.model.queries import ReplayStep
from memory_graph.store.neo4j.view import Link, Neo4jView, NodeKey, Origin
from memory_graph.store.rules import causality
from memory_graph.store.rules.causality import ReplayEntry

_ORIGIN_BATCH_SIZE = 1_000


async def replay_order(view: Neo4jView, session_id: str) -> list[ReplayEntry[NodeKey]]:
    """The session and its nodes as they happened. Raises `NotFound` for an unknown session."""
    session = (await view.keys((session_id,))).get(session_id)
    when = {key: at for at, key in await view.session(session_id)} if session is not None else {}
    if session is None or session not in when:
        raise NotFound("session", session_id)
    keys = list(when)
    links: list[Link] = []
    for first in range(0, len(keys), _ORIGIN_BATCH_SIZE):
        origins = [Origin(key, ()) for key in keys[first : first + _ORIGIN_BATCH_SIZE]]
        links += [link async for _, link in view.links(origins, Direction.OUTGOING, frozenset()) if link.dst in when]
    return causality.topological_order(session, when, links)


async def steps(view: Neo4jView, found: Sequence[ReplayEntry[NodeKey]]) -> list[ReplayStep]:
    """Moments with their nodes. One that has ended since it was found is left out."""
    nodes = await view.nodes(
        {moment.n for moment in found} | {key for moment in found for link in moment.links for key in link[2:]}
    )
    return [
        ReplayStep(nodes[moment.n], tuple(link.e for link in moment.links if link.src in nodes and link.dst in nodes))
        for moment in found
        if moment.n in nodes
    ]
