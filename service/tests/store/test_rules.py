"""Rules by themselves, without a store."""

from __future__ import annotations

import pytest

from memory_graph.model.errors import NotFound
from memory_graph.model.kinds import EdgeType, NodeType
from memory_graph.store.rules.counters import ACTIVE_SESSIONS, COUNTERS, EDGES, nodes_matching, stats_of
from memory_graph.store.rules.references import References
from memory_graph.store.rules.replay import topological_order
from memory_graph.store.rules.steps import Steps, run, run_async
from memory_graph.store.rules.traversal import Link
from store.graphs import TENANT, link, prompt


def doubled(read) -> Steps[int]:
    """A rule that asks twice, and goes on with 0 where the store has nothing."""
    try:
        first = yield read(1)
    except NotFound:
        first = 0
    second = yield read(2)
    return first + second


def test_a_rule_is_sent_the_results_of_a_blocking_store():
    assert run(doubled(lambda number: number * 10)) == 30


async def test_a_rule_is_sent_the_results_of_awaitables_and_their_errors():
    async def read(number: int) -> int:
        if number == 1:
            raise NotFound("node", "x")
        return number * 10

    assert await run_async(doubled(read)) == 20


async def test_an_error_that_no_rule_handles_reaches_the_caller():
    async def read(_: int) -> int:
        raise LookupError("the store")

    with pytest.raises(LookupError, match="the store"):
        await run_async(doubled(read))


def test_references_name_each_key_once_and_by_its_purpose():
    creation = prompt("session", id="prompt")
    joined = link(EdgeType.REFERENCES, "prompt", "agent")
    references = References()
    for mutation in (creation, creation, joined):
        references.add(TENANT, mutation)
    assert list(references.created) == [(TENANT, "prompt")]
    assert list(references.containers) == [(TENANT, "session")]
    assert list(references.edges) == [(TENANT, joined.edge.id)]
    assert list(references.attached) == [(TENANT, creation.edges[0].id), (TENANT, creation.follows_edge_id)]
    assert list(references.named) == [(TENANT, "session"), (TENANT, "agent")]


def test_a_session_is_none_of_its_own_nodes():
    counters = [0] * COUNTERS
    counters[EDGES], counters[NodeType.SESSION], counters[NodeType.PROMPT], counters[ACTIVE_SESSIONS] = 7, 1, 3, 1
    assert nodes_matching(counters, None, in_session=True) == 3
    assert nodes_matching(counters, None, in_session=False) == 4
    assert nodes_matching(counters, NodeType.PROMPT, in_session=True) == 3
    assert (stats_of(counters).nodes, stats_of(counters).edges, stats_of(counters).active_sessions) == (4, 7, 1)


def test_a_ring_of_causes_is_entered_at_its_oldest_node():
    caused_by = int(EdgeType.RESPONDS_TO)
    links = [Link("a", caused_by, 3, 2), Link("b", caused_by, 2, 3), Link("c", caused_by, 4, 3)]
    order = topological_order(1, {1: 0, 2: 20, 3: 10, 4: 30}, links)
    assert [entry.n for entry in order] == [1, 3, 2, 4]
    assert [[link.e for link in entry.links] for entry in order] == [[], [], ["a", "b"], ["c"]]
