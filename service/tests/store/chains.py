"""Reading a session's FOLLOWS chain through the store."""

from __future__ import annotations

from memory_graph.model.kinds import Direction, EdgeType, NodeType
from memory_graph.model.queries import NodeFilter
from store.graphs import TENANT


async def chain(store, session: str, tenant: str = TENANT) -> list[str]:
    """Prompts from the last to the first, walking FOLLOWS; fails unless that is one chain over all of them."""
    follows: dict[str, str] = {}
    prompts = {node.id async for node in store.scan(tenant, NodeFilter(session_id=session, type=NodeType.PROMPT))}
    for id in prompts:
        edges = await store.get_edges(tenant, id, Direction.OUTGOING, EdgeType.FOLLOWS)
        assert len(edges) <= 1, f"prompt {id} follows {len(edges)} prompts"
        if edges:
            follows[id] = edges[0].to_id
    assert len(set(follows.values())) == len(follows), "two prompts follow one"
    ends = prompts - set(follows.values())
    if not prompts:
        return []
    assert len(ends) == 1, f"{len(ends)} prompts have none after them"
    walked = [ends.pop()]
    while walked[-1] in follows:
        walked.append(follows[walked[-1]])
    assert set(walked) == prompts, "the chain leaves prompts out"
    return walked
