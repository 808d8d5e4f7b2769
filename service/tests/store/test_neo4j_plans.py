"""Plans of Neo4j: each statement reads by the index meant for it, whatever the planner would guess.

The statements are those the store really runs, caught on their way to the database and explained there.
"""

from __future__ import annotations

import time

import pytest
from neo4j import AsyncManagedTransaction, GraphDatabase

from memory_graph.model.kinds import Direction, EdgeType, LineageDirection, NodeType
from memory_graph.model.queries import LineageQuery, NodeFilter, PointInTime, Traversal
from memory_graph.store.neo4j import open_store
from store.graphs import TENANT, agent, delete, link, prompt, response, session, template, tool, unlink, update, write
from support.neo4j_server import PASSWORD, USERNAME, settings

pytestmark = pytest.mark.xdist_group("neo4j")

WHOLE = ("AllNodesScan", "NodeByLabelScan", "NodeIndexScan", "RelationshipTypeScan", "RelationshipIndexScan")


class CypherRecorder:
    """Statements that were run in transactions, once each, with the parameters they had first."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, driver) -> None:
        self.driver = driver
        self.seen: dict[str, dict] = {}
        original = AsyncManagedTransaction.run

        async def run(tx, statement, parameters=None, **rest):
            self.seen.setdefault(statement, {**(parameters or {}), **rest})
            return await original(tx, statement, parameters, **rest)

        monkeypatch.setattr(AsyncManagedTransaction, "run", run)

    def plans(self) -> dict[str, list[str]]:
        """The operators of each statement since the last call, with what they work on."""
        seen, self.seen = self.seen, {}
        with self.driver.session() as explaining:
            return {
                statement: list(_operators(explaining.run(f"EXPLAIN {statement}", values).consume().plan))
                for statement, values in seen.items()
            }


def _operators(plan):
    yield f"{plan['operatorType'].split('@')[0]} {plan['args'].get('Details', '')}"
    for child in plan.get("children", ()):
        yield from _operators(child)


def whole(plans: dict[str, list[str]]) -> list[str]:
    """Steps that go through everything."""
    return [
        f"{step}: {statement}"
        for statement, steps in plans.items()
        for step in steps
        if step.split()[0].endswith(WHOLE)
    ]


@pytest.fixture
async def recorded(empty_neo4j, monkeypatch):
    store = open_store(**settings(empty_neo4j))
    opened = session()
    prompts = [prompt(opened.node.id, f"word{i}", model="m", topic="t") for i in range(20)]
    await store.apply(write(opened, *prompts))
    with GraphDatabase.driver(empty_neo4j, auth=(USERNAME, PASSWORD)) as driver:
        yield store, CypherRecorder(monkeypatch, driver), prompts
    await store.close()


async def test_writes_find_their_rows_by_index(recorded):
    store, recorder, prompts = recorded
    session_id = prompts[0].node.session_id
    question, form = prompt(session_id), template()
    answered = response(question.node.id)
    joined = link(EdgeType.REFERENCES, question.node.id, prompts[3].node.id)
    await store.apply(write(question, answered, tool(answered.node.id), agent(), form, joined))
    await store.apply(write(update(prompts[1].node, prompts[2].node.data)))
    await store.apply(write(unlink(joined.edge.id)))
    await store.apply(write(delete(prompts[1].node.id)))
    await store.apply(write(delete(session_id)))
    plans = recorder.plans()
    assert len(plans) > 20
    assert whole(plans) == []


async def test_reads_by_key_seek(recorded):
    store, recorder, prompts = recorded
    first, second = prompts[0].node, prompts[1].node
    await store.get_nodes(TENANT, [first.id, second.id])
    await store.get_edge(TENANT, prompts[0].edges[0].id)
    await store.get_edges(TENANT, first.id, Direction.BOTH, None)
    await store.stats(TENANT)
    await store.changes(TENANT, None, 10)
    await store.changes(TENANT, "1.0", 10, first.session_id)
    plans = recorder.plans()
    assert len(plans) >= 8
    assert whole(plans) == []


async def test_the_commit_log_is_read_in_its_order(recorded):
    store, recorder, _ = recorded
    assert (await store.commits(0, 10)).commits
    assert await store.claim_cursor("kafka", "me", 60) == 0
    assert await store.move_cursor("kafka", "me", 1)
    await store.release_cursor("kafka", "me")
    plans = recorder.plans()
    assert whole(plans) == []
    assert not [step for steps in plans.values() for step in steps if step.startswith("Sort")]


@pytest.mark.parametrize("past", [False, True], ids=["now", "then"])
async def test_walks_seek(recorded, past):
    store, recorder, prompts = recorded
    at = PointInTime(as_of=time.time_ns(), known_at=time.time_ns()) if past else PointInTime()
    start = prompts[5].node.id
    for direction in Direction:
        walk = Traversal(start=(start,), direction=direction, depth=2, edge_types=frozenset({EdgeType.FOLLOWS}), at=at)
        async for _ in store.traverse(TENANT, walk):
            pass
    await store.lineage(TENANT, LineageQuery(node_id=start, direction=LineageDirection.BOTH, at=at))
    async for _ in store.replay(TENANT, prompts[0].node.session_id, at.as_of, at.known_at):
        pass
    plans = recorder.plans()
    assert len(plans) >= 8
    assert whole(plans) == []


SESSION = "the session of the fixture"
FILTERS = {
    "all": (NodeFilter(), "tenant, created_ns, n"),
    "type": (NodeFilter(type=NodeType.PROMPT), "tenant, type, created_ns, n"),
    "session": (NodeFilter(session_id=SESSION), "tenant, session_id, created_ns, n"),
    "both": (NodeFilter(session_id=SESSION, type=NodeType.PROMPT, after=5), "tenant, session_id, type, created_ns, n"),
}


@pytest.mark.parametrize("question", FILTERS)
async def test_a_page_is_read_in_the_order_of_its_index(recorded, question):
    store, recorder, _ = recorded
    condition, index = FILTERS[question]
    await store.query(TENANT, condition, 10, 0)
    plans = recorder.plans()
    assert whole(plans) == []
    (page,) = [steps for statement, steps in plans.items() if "SKIP" in statement]
    assert [step for step in page if step.startswith(f"NodeIndexSeek RANGE INDEX v:Node({index})")], page
    assert not [step for step in page if step.startswith(("Sort", "Top"))], page


async def test_text_and_attributes_are_looked_up_in_the_search_index(recorded):
    store, recorder, _ = recorded
    await store.query(TENANT, NodeFilter(text="word3", attributes=(("model", "m"),), after=1), 10, 0)
    plans = recorder.plans()
    searches = [steps for statement, steps in plans.items() if "fulltext" in statement]
    assert len(searches) == 2
    for steps in searches:
        assert [step for step in steps if step.startswith("ProcedureCall") and "fulltext" in step]
    assert whole(plans) == []
