"""A graph that is moved from the embedded store to Neo4j: the same to every question, and it can be added to."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import apsw
import pytest

from memory_graph.model.errors import NotFound, StoreCorrupt, StoreUnavailable
from memory_graph.model.ids import new_id
from memory_graph.model.kinds import Direction, LineageDirection, NodeType
from memory_graph.model.queries import LineageQuery, NodeFilter, PointInTime, Traversal
from memory_graph.model.tenants import SMOKE_TEST_TENANT
from memory_graph.store import neo4j, sqlite
from memory_graph.store.migration.migrate import migrate_graph
from memory_graph.store.migration.parts import GraphPart
from memory_graph.store.migration.source import MigrationSource
from memory_graph.store.migration.target import MigrationTarget
from memory_graph.store.neo4j.connection import Neo4jConnection
from memory_graph.store.sqlite.schema import MIGRATIONS
from memory_graph.store.sqlite.schema import migrate as migrate_file
from store.chains import chain
from store.graphs import agent, prompt, write
from store.migration_graph import TENANTS, grown
from store.truth import counts_are_true
from support.neo4j_server import PASSWORD, USERNAME, settings

pytestmark = pytest.mark.xdist_group("neo4j")


async def listed(stream) -> list[object]:
    return [item async for item in stream]


async def replayed(stream) -> list[object]:
    return [(step.node, sorted(step.edges, key=lambda edge: edge.id)) async for step in stream]


async def in_any_order(asked_for) -> list[str]:
    return sorted(map(repr, await asked_for))


async def answer(asked_for):
    """The answer to a question, or that there was no such node yet."""
    try:
        return await asked_for
    except NotFound as error:
        return str(error)


async def everything(store, tenant: str, moments: list[int]) -> list[object]:
    """The answers to every kind of question."""
    nodes = [item async for item in store.scan(tenant, NodeFilter())]
    ids = [item.id for item in nodes]
    seen: list[object] = [nodes, await store.stats(tenant), await store.changes(tenant, None, 10_000)]
    seen += [await store.get_edges(tenant, id, Direction.BOTH, None) for id in ids[:40]]
    for condition in (
        NodeFilter(text="word3 naive"), NodeFilter(attributes=(("model", "m"),)), NodeFilter(type=NodeType.TEMPLATE),
        *(NodeFilter(session_id=item.id) for item in nodes if item.type is NodeType.SESSION),
    ):  # fmt: skip
        seen.append(await store.query(tenant, condition, 1_000, 0))
    for at in [PointInTime(), *(PointInTime(as_of=item, known_at=item) for item in moments[::20])]:
        for id in ids[:10]:
            walk = Traversal(
                start=(id,), direction=Direction.BOTH, depth=2, edge_types=frozenset(), limit=10_000, at=at
            )
            seen.append(await answer(in_any_order(listed(store.traverse(tenant, walk)))))
            asked_for = LineageQuery(node_id=id, direction=LineageDirection.BOTH, at=at)
            seen.append(await answer(in_any_order(store.lineage(tenant, asked_for))))
        for item in nodes:
            if item.type is NodeType.SESSION:
                seen.append(await answer(replayed(store.replay(tenant, item.id, at.as_of, at.known_at))))
    return seen


class Steps:
    def __init__(self) -> None:
        self.done: dict[str, list[int]] = {}

    def begins(self, step: str, rows: int) -> None:
        self.step = step
        self.done[step] = [0, rows]

    def advance(self, rows: int) -> None:
        self.done[self.step][0] += rows


def target(uri: str) -> MigrationTarget:
    return MigrationTarget(
        Neo4jConnection(uri, username=USERNAME, password=PASSWORD, database="neo4j", max_connections=2)
    )


async def moved(path: Path, uri: str, *, page: int = 50, into: MigrationTarget | None = None):
    destination, steps = into or target(uri), Steps()
    try:
        with MigrationSource(path) as source:
            return await migrate_graph(source, destination, steps, page=page), steps
    finally:
        await destination.close()


async def test_a_moved_graph_answers_as_before(tmp_path, empty_neo4j):
    path = tmp_path / "graph.db"
    moments = await grown(path)
    compared, steps = await moved(path, empty_neo4j)
    assert all(item.same for item in compared)
    assert all(item.source.rows > 0 for item in compared)
    assert all(done == rows for done, rows in steps.done.values()), steps.done
    assert len(steps.done) == 2 * len(GraphPart)
    before, after = sqlite.open_store(path), neo4j.open_store(**settings(empty_neo4j))
    for tenant in TENANTS:
        assert await everything(after, tenant, moments) == await everything(before, tenant, moments)
        await counts_are_true(after, empty_neo4j, tenant)
    assert (await after.query(SMOKE_TEST_TENANT, NodeFilter(), 1, 0)).total_count == 0
    await before.close()
    await after.close()


async def test_the_file_stays_as_it_is_also_one_that_was_left_in_the_middle_of_things(tmp_path, empty_neo4j):
    await grown(tmp_path / "graph.db")
    store = sqlite.open_store(tmp_path / "graph.db")
    await store.apply(write(agent()))
    leftover = tmp_path / "left"
    leftover.mkdir()
    for name in ("graph.db", "graph.db-wal"):  # as it is where the process was killed
        shutil.copy(tmp_path / name, leftover / name)
    await store.close()
    before = {item.name: item.read_bytes() for item in leftover.iterdir()}
    compared, _ = await moved(leftover / "graph.db", empty_neo4j)
    assert all(item.same for item in compared)
    assert {name: (leftover / name).read_bytes() for name in before} == before
    with MigrationSource(tmp_path / "graph.db") as whole:
        assert compared[0].source.rows == whole.count(GraphPart.NODES)


def test_a_file_of_an_older_version_is_refused_with_the_way_out_and_stays_so(tmp_path):
    path = tmp_path / "graph.db"
    connection = apsw.Connection(str(path))
    migrate_file(connection, MIGRATIONS[:1])
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreCorrupt, match="has schema 1 and is moved from schema 2: start this version of the serv"):
        MigrationSource(path)
    assert path.read_bytes() == before


async def test_a_moved_graph_can_be_added_to(tmp_path, empty_neo4j):
    path = tmp_path / "graph.db"
    await grown(path)
    before = sqlite.open_store(path)
    await before.move_cursor("kafka", "", 17)
    await before.close()
    await moved(path, empty_neo4j)
    store = neo4j.open_store(**settings(empty_neo4j))
    assert await store.claim_cursor("kafka", "publisher", 60) == 17
    old = (await store.query("one", NodeFilter(type=NodeType.SESSION), 10, 0)).nodes[-1].id
    feed = await store.changes("one", None, 10_000)
    length = len(await chain(store, old, tenant="one"))
    applied = await store.apply(write(prompt(old, "one more"), tenant="one"))
    assert len(await chain(store, old, tenant="one")) == length + 1
    assert tuple(await store.changes("one", feed[-1].id, 10)) == applied.events
    newest = (await store.query("one", NodeFilter(session_id=old), 1, 0)).nodes[0]
    assert newest.recorded_at > feed[-1].at
    await counts_are_true(store, empty_neo4j, "one")
    await store.close()


class BreakingTarget(MigrationTarget):
    """Is gone after so many writes, the last of which was kept, or was not."""

    def __init__(self, database: Neo4jConnection, writes: int, *, survives: bool) -> None:
        super().__init__(database)
        self.remaining = writes
        self.survives = survives

    async def write(self, state, rows, reached):
        self.remaining -= 1
        if self.remaining == 0 and not self.survives:
            raise StoreUnavailable("gone")
        await super().write(state, rows, reached)
        if self.remaining == 0:
            raise StoreUnavailable("gone")


async def test_a_move_goes_on_where_it_was_stopped(tmp_path, empty_neo4j):
    path = tmp_path / "graph.db"
    await grown(path)
    whole = Neo4jConnection(empty_neo4j, username=USERNAME, password=PASSWORD, database="neo4j", max_connections=2)
    stops, survives = 0, False
    while True:
        into = BreakingTarget(whole, 7, survives=survives)
        into.close = lambda: asyncio.sleep(0)
        try:
            compared, _ = await moved(path, empty_neo4j, into=into)
        except StoreUnavailable:
            stops, survives = stops + 1, not survives
            store = neo4j.open_store(**settings(empty_neo4j))
            with pytest.raises(StoreCorrupt, match="being moved into this database"):
                await store.stats("one")
            await store.close()
            continue
        break
    await whole.close()
    assert stops > 3
    assert all(item.same for item in compared)


async def test_what_differs_is_found_and_is_no_store(tmp_path, empty_neo4j):
    path = tmp_path / "graph.db"
    await grown(path)

    class Losing(MigrationTarget):
        async def write(self, state, rows, reached):
            await super().write(state, rows[1:] if state.part is GraphPart.EDGE_VERSIONS else rows, reached)

    into = Losing(
        Neo4jConnection(empty_neo4j, username=USERNAME, password=PASSWORD, database="neo4j", max_connections=2)
    )
    compared, _ = await moved(path, empty_neo4j, into=into)
    assert [item.part for item in compared if not item.same] == [GraphPart.EDGE_VERSIONS]
    store = neo4j.open_store(**settings(empty_neo4j))
    with pytest.raises(StoreCorrupt):
        await store.stats("one")
    await store.close()


async def test_a_source_that_went_on_is_not_mixed_in(tmp_path, empty_neo4j):
    path = tmp_path / "graph.db"
    await grown(path)
    database = Neo4jConnection(empty_neo4j, username=USERNAME, password=PASSWORD, database="neo4j", max_connections=2)
    with pytest.raises(StoreUnavailable, match="gone"):
        await moved(path, empty_neo4j, into=BreakingTarget(database, 3, survives=True))
    store = sqlite.open_store(path)
    await store.apply(write(agent(id=new_id())))
    await store.close()
    with pytest.raises(StoreUnavailable, match="has changed since this move was begun"):
        await moved(path, empty_neo4j)
