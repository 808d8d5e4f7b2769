"""Plans of SQLite: each statement reads by the index meant for it, whatever the planner would guess.

The statements are those the store really runs, caught on its connections.
"""

from __future__ import annotations

import re
import time
from functools import partial

import apsw
import pytest

from memory_graph.model.ids import new_id
from memory_graph.model.kinds import Direction, EdgeType, LineageDirection, NodeType
from memory_graph.model.queries import LineageQuery, NodeFilter, PointInTime, Traversal
from memory_graph.store.codec import PlainCodec
from memory_graph.store.rules.lineage import lineage
from memory_graph.store.rules.replay import replay_order, replay_steps
from memory_graph.store.rules.traversal import paths, trails
from memory_graph.store.sqlite.connection import open_reader, open_writer
from memory_graph.store.sqlite.read import SqliteReader
from memory_graph.store.sqlite.rows import SqliteRows
from memory_graph.store.sqlite.schema import migrate
from memory_graph.store.sqlite.write import SqliteCommitter
from store.graphs import TENANT, agent, delete, link, prompt, response, session, template, update, write

BIG = ("nodes", "edges", "attributes", "node_history", "edge_history", "changes", "sessions")
NOW = PointInTime()


class SqlRecorder:
    """Collects the plan of every statement a connection runs."""

    def __init__(self, connection: apsw.Connection, explaining: apsw.Connection) -> None:
        self._explaining = explaining
        self.plans: dict[str, list[str]] = {}
        connection.exec_trace = self.trace

    def trace(self, _cursor, statement: str, bindings) -> bool:
        if statement.split(None, 1)[0] in {"SELECT", "INSERT", "UPDATE", "DELETE"} and statement not in self.plans:
            rows = self._explaining.execute(f"EXPLAIN QUERY PLAN {statement}", bindings)
            self.plans[statement] = [detail for *_, detail in rows]
        return True

    def take(self) -> dict[str, list[str]]:
        plans, self.plans = self.plans, {}
        return plans


@pytest.fixture
def graph(tmp_path):
    path = tmp_path / "graph.db"
    connection = open_writer(path)
    migrate(connection)
    explaining = open_writer(path)
    committer = SqliteCommitter(
        connection, path, SqliteRows(PlainCodec()), clock=time.time_ns, new_id=new_id, keep_changes=1_000
    )
    opened = session()
    prompts = [prompt(opened.node.id, f"word{i}", model="m", topic="t") for i in range(20)]
    committer.commit([write(opened, *prompts)])
    reading = open_reader(path)
    yield (
        committer,
        SqlRecorder(connection, explaining),
        SqliteReader(reading, SqliteRows(PlainCodec())),
        reading,
        explaining,
        prompts,
    )
    for first in (connection, explaining, reading):
        first.close()


def scans(plans: dict[str, list[str]]) -> list[str]:
    """Steps that go through a whole table, or through all of a tenant's rows in an index not read in order."""
    return [
        f"{step}: {statement}"
        for statement, steps in plans.items()
        for step in steps
        if (step.startswith("SCAN") and step.split()[1] in {*BIG, "v", "g", "x", "s", "a", "b"})
        or (
            step.startswith(("SEARCH", "SCAN"))
            and re.search(r"\((tenant=\?|tenant=\? AND session>\?)\)", step)
            and not re.search(r"nodes_by_time", step)
        )
    ]


def sorts(plans: dict[str, list[str]]) -> list[str]:
    return [statement for statement, steps in plans.items() for step in steps if "TEMP B-TREE" in step]


def test_writes_find_their_rows_by_index(graph):
    committer, recorder, _, _, _, prompts = graph
    session_id = prompts[0].node.session_id
    condition = prompt(session_id)
    form = template()
    outcomes = committer.commit(
        [
            write(condition, response(condition.node.id), agent(), form),
            write(link(EdgeType.REFERENCES, prompts[1].node.id, prompts[2].node.id)),
            write(condition, form),
            write(update(prompts[3].node, prompts[4].node.data)),
            write(delete(prompts[5].node.id)),
            write(delete(session_id)),
        ]
    )
    assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    plans = recorder.take()
    assert len(plans) > 20
    assert scans(plans) == []
    assert sorts(plans) == []


QUERIES = {
    "all": (NodeFilter(), "nodes_by_time"),
    "type": (NodeFilter(type=NodeType.PROMPT), "nodes_by_type"),
    "session": (lambda session_id: NodeFilter(session_id=session_id), "nodes_by_session"),
    "session and type": (
        lambda session_id: NodeFilter(session_id=session_id, type=NodeType.PROMPT), "nodes_by_session_type"),
    "range": (NodeFilter(after=1, before=2**62), "nodes_by_time (tenant=? AND created_at>? AND created_at<?)"),
    "session and attribute": (
        lambda session_id: NodeFilter(session_id=session_id, attributes=(("model", "m"),)), "nodes_by_session"),
    "attribute": (NodeFilter(attributes=(("model", "m"),)), "PRIMARY KEY (tenant=? AND name=? AND value=?)"),
    "attribute and range": (
        NodeFilter(attributes=(("model", "m"),), after=1),
        "PRIMARY KEY (tenant=? AND name=? AND value=? AND created_at>?)"),
    "attributes and type": (
        NodeFilter(attributes=(("model", "m"), ("custom.topic", "t")), type=NodeType.PROMPT),
        "PRIMARY KEY (tenant=? AND name=? AND value=?)"),
}  # fmt: skip


@pytest.mark.parametrize("name", QUERIES)
def test_a_page_is_read_in_order_by_its_index_and_never_sorted(graph, name):
    _, _, reader, reading, explaining, prompts = graph
    condition, index = QUERIES[name]
    if callable(condition):
        condition = condition(prompts[0].node.session_id)
    recorder = SqlRecorder(reading, explaining)
    assert reader.query(TENANT, condition, 5, 2).nodes
    nodes, key = reader.page_before(TENANT, condition, 5, None)
    assert reader.page_before(TENANT, condition, 5, key)[0] != nodes
    plans = recorder.take()
    assert scans(plans) == []
    assert sorts(plans) == []
    pages = [steps for statement, steps in plans.items() if "ORDER BY" in statement]
    assert len(pages) == 3
    assert all(index.split(" (")[0] in steps[0] for steps in pages)
    assert index in pages[0][0]
    assert re.search(r"created_at<|\(created_at,n\)<", pages[2][0])


def test_a_text_search_reads_the_text_index_first(graph):
    _, _, reader, reading, explaining, prompts = graph
    recorder = SqlRecorder(reading, explaining)
    for condition in (NodeFilter(text="word3"), NodeFilter(text="word3", session_id=prompts[0].node.session_id)):
        assert reader.query(TENANT, condition, 5, 0).total_count == 1
    plans = recorder.take()
    assert scans(plans) == []
    searches = [steps for statement, steps in plans.items() if "MATCH" in statement]
    assert searches
    assert all(steps[0].startswith("SCAN texts VIRTUAL TABLE") for steps in searches)


@pytest.mark.parametrize(
    "at", [NOW, PointInTime(as_of=2**62), PointInTime(as_of=2**62, known_at=2**62)], ids=["now", "as of", "known at"]
)
def test_walks_find_edges_by_either_end(graph, at):
    _, _, reader, reading, explaining, prompts = graph
    recorder = SqlRecorder(reading, explaining)
    last = prompts[-1].node
    traversal = Traversal(start=(last.id,), depth=3, direction=Direction.BOTH)
    walked = reader.walk(TENANT, at, partial(trails, traversal=traversal))
    assert reader.walk(TENANT, at, partial(paths, trails=walked))
    query = LineageQuery(node_id=last.id, direction=LineageDirection.BOTH)
    assert reader.walk(TENANT, at, partial(lineage, query=query))
    order = reader.walk(TENANT, at, partial(replay_order, session_id=last.session_id))
    assert reader.walk(TENANT, at, partial(replay_steps, entries=order))
    plans = recorder.take()
    assert scans(plans) == []
    assert sorts(plans) == []


def test_point_reads_find_their_rows_by_index(graph):
    _, _, reader, reading, explaining, prompts = graph
    recorder = SqlRecorder(reading, explaining)
    last = prompts[-1]
    assert reader.nodes(TENANT, [last.node.id])
    assert reader.edge(TENANT, last.edges[0].id)
    assert reader.edges(TENANT, last.node.id, Direction.BOTH, None)
    assert reader.edges(TENANT, last.node.id, Direction.BOTH, EdgeType.FOLLOWS)
    assert reader.stats(TENANT).nodes == 21
    assert reader.changes(TENANT, "1.3", 10, None)
    assert reader.commits(0, 10).commits
    assert reader.cursor("kafka") == 0
    plans = recorder.take()
    assert scans(plans) == []
    assert sorts(plans) == []
