"""A graph with everything in it that a migration has to move."""

from __future__ import annotations

import random
import time
from pathlib import Path

from memory_graph.model.kinds import EdgeType, NodeType
from memory_graph.model.nodes import STUB, AgentData
from memory_graph.model.tenants import SMOKE_TEST_TENANT
from memory_graph.store import sqlite
from store.graphs import agent, delete, link, node, prompt, response, session, template, tool, unlink, update, write

TENANTS = ("one", "two")


async def grown(path: Path) -> list[int]:
    """A store with all there is: sessions, templates with uses, versions, ends, stubs, chains. Yields times at which
    it looked different."""
    store, chance, moments = sqlite.open_store(path), random.Random(5), []
    for tenant in TENANTS:
        opened, form, clerk = [session(kind="x") for _ in range(4)], template(), agent()
        await store.apply(write(*opened, form, clerk, tenant=tenant))
        prompts = []
        for turn in range(60):
            session_id = chance.choice(opened).node.id
            question = prompt(session_id, f"word{turn % 7} naïve", model="m", topic=str(turn % 3))
            answered = response(question.node.id, f"answer {turn}")
            await store.apply(write(question, answered, tool(answered.node.id), tenant=tenant))
            prompts.append(question.node)
            moments.append(time.time_ns())
        joined = [link(EdgeType.REFERENCES, a.id, b.id, why="x") for a, b in zip(prompts, prompts[9:30], strict=False)]
        await store.apply(write(*joined, tenant=tenant))
        counted = prompt(opened[0].node.id)
        await store.apply(
            write(type(counted)(node=counted.node, edges=counted.edges, follows_edge_id=counted.follows_edge_id,
                                counts_use_of=form.node.id), tenant=tenant)
        )  # fmt: skip
        stub = node(NodeType.INVOCATION, STUB)
        await store.apply(write(type(counted)(node=stub, observed=True), tenant=tenant))
        for turn in range(8):
            await store.apply(write(update(clerk.node, AgentData(name=f"name {turn}")), tenant=tenant))
        await store.apply(write(*(unlink(item.edge.id) for item in joined[:5]), tenant=tenant))
        await store.apply(write(delete(prompts[3].id), delete(prompts[20].id), tenant=tenant))
        moments.append(time.time_ns())
        await store.apply(write(delete(opened[3].node.id), tenant=tenant))
    leftover = session()  # by a smoke test that was interrupted
    await store.apply(write(leftover, prompt(leftover.node.id), tenant=SMOKE_TEST_TENANT))
    await store.close()
    return moments
