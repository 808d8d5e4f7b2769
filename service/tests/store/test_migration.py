"""A graph that is moved from the embedded store to Neo4j: the same to every question, and it can be added to."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from pathlib import Path

import apsw
import pytest

from memory_graph.model.errors import NotFound, StoreCorrupt, StoreUnavailable
from memory_graph.model.ids import new_id
from memory_graph.model.kinds import Direction, EdgeType, LineageDirection, NodeType
from memory_graph.model.nodes import STUB, AgentData
from memory_graph.model.queries import At, LineageQuery, NodeFilter, Traversal
from memory_graph.model.tenants import SMOKE_TEST_TENANT
from memory_graph.store import neo4j, sqlite
from memory_graph.store.migration.migrate import migrate_graph
from memory_graph.store.migration.parts import Part
from memory_graph.store.migration.source import MigrationSource
from memory_graph.store.migration.target import MigrationTarget
from memory_graph.store.neo4j.connection import Database
from memory_graph.store.sqlite.schema import MIGRATIONS
from memory_graph.store.sqlite.schema import migrate as migrate_file
from store.chains import chain
from store.graphs import agent, delete, link, node, prompt, response, session, template, tool, unlink, update, write
from store.truth import counts_are_true
from support.cli import Ended, run_cli
from support.neo4j_server import PASSWORD, USERNAME, asked, settings

pytestmark = pytest.mark.xdist_group("neo4j")

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
            here = chance.choice(opened).node.id
            asked = prompt(here, f"word{turn % 7} naïve", model="m", topic=str(turn % 3))
            told = response(asked.node.id, f"answer {turn}")
            await store.apply(write(asked, told, tool(told.node.id), tenant=tenant))
            prompts.append(asked.node)
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
        await store.apply(write(*(unlink(one.edge.id) for one in joined[:5]), tenant=tenant))
        await store.apply(write(delete(prompts[3].id), delete(prompts[20].id), tenant=tenant))
        moments.append(time.time_ns())
        await store.apply(write(delete(opened[3].node.id), tenant=tenant))
    left = session()  # by a smoke test that was interrupted
    await store.apply(write(left, prompt(left.node.id), tenant=SMOKE_TEST_TENANT))
    await store.close()
    return moments


async def listed(found) -> list[object]:
    return [one async for one in found]


async def replayed(found) -> list[object]:
    return [(step.node, sorted(step.edges, key=lambda edge: edge.id)) async for step in found]


async def in_any_order(asked_for) -> list[str]:
    return sorted(map(repr, await asked_for))


async def answer(asked_for):
    """What a question yields, or that there was no such node yet."""
    try:
        return await asked_for
    except NotFound as error:
        return str(error)


async def everything(store, tenant: str, moments: list[int]) -> list[object]:
    """What every kind of question answers."""
    nodes = [one async for one in store.scan(tenant, NodeFilter())]
    ids = [one.id for one in nodes]
    seen: list[object] = [nodes, await store.stats(tenant), await store.changes(tenant, None, 10_000)]
    seen += [await store.get_edges(tenant, id, Direction.BOTH, None) for id in ids[:40]]
    for condition in (
        NodeFilter(text="word3 naive"), NodeFilter(attributes=(("model", "m"),)), NodeFilter(type=NodeType.TEMPLATE),
        *(NodeFilter(session_id=one.id) for one in nodes if one.type is NodeType.SESSION),
    ):  # fmt: skip
        seen.append(await store.query(tenant, condition, 1_000, 0))
    for at in [At(), *(At(as_of=one, known_at=one) for one in moments[::20])]:
        for id in ids[:10]:
            walk = Traversal(
                start=(id,), direction=Direction.BOTH, depth=2, edge_types=frozenset(), limit=10_000, at=at
            )
            seen.append(await answer(in_any_order(listed(store.traverse(tenant, walk)))))
            asked_for = LineageQuery(node_id=id, direction=LineageDirection.BOTH, at=at)
            seen.append(await answer(in_any_order(store.lineage(tenant, asked_for))))
        for one in nodes:
            if one.type is NodeType.SESSION:
                seen.append(await answer(replayed(store.replay(tenant, one.id, at.as_of, at.known_at))))
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
    return MigrationTarget(Database(uri, username=USERNAME, password=PASSWORD, database="neo4j", max_connections=2))


async def moved(path: Path, uri: str, *, page: int = 50, into: MigrationTarget | None = None):
    place, steps = into or target(uri), Steps()
    try:
        with MigrationSource(path) as source:
            return await migrate_graph(source, place, steps, page=page), steps
    finally:
        await place.close()


async def test_a_moved_graph_answers_as_before(tmp_path, empty_neo4j):
    path = tmp_path / "graph.db"
    moments = await grown(path)
    compared, steps = await moved(path, empty_neo4j)
    assert all(one.same for one in compared)
    assert all(one.source.rows > 0 for one in compared)
    assert all(done == rows for done, rows in steps.done.values()), steps.done
    assert len(steps.done) == 2 * len(Part)
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
    left = tmp_path / "left"
    left.mkdir()
    for name in ("graph.db", "graph.db-wal"):  # as it is where the process was killed
        shutil.copy(tmp_path / name, left / name)
    await store.close()
    before = {one.name: one.read_bytes() for one in left.iterdir()}
    compared, _ = await moved(left / "graph.db", empty_neo4j)
    assert all(one.same for one in compared)
    assert {name: (left / name).read_bytes() for name in before} == before
    with MigrationSource(tmp_path / "graph.db") as whole:
        assert compared[0].source.rows == whole.count(Part.NODES)


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

    def __init__(self, database: Database, writes: int, *, kept: bool) -> None:
        super().__init__(database)
        self.left = writes
        self.kept = kept

    async def write(self, state, rows, reached):
        self.left -= 1
        if self.left == 0 and not self.kept:
            raise StoreUnavailable("gone")
        await super().write(state, rows, reached)
        if self.left == 0:
            raise StoreUnavailable("gone")


async def test_a_move_goes_on_where_it_was_stopped(tmp_path, empty_neo4j):
    path = tmp_path / "graph.db"
    await grown(path)
    whole = Database(empty_neo4j, username=USERNAME, password=PASSWORD, database="neo4j", max_connections=2)
    stops, kept = 0, False
    while True:
        into = BreakingTarget(whole, 7, kept=kept)
        into.close = lambda: asyncio.sleep(0)
        try:
            compared, _ = await moved(path, empty_neo4j, into=into)
        except StoreUnavailable:
            stops, kept = stops + 1, not kept
            store = neo4j.open_store(**settings(empty_neo4j))
            with pytest.raises(StoreCorrupt, match="being moved into this database"):
                await store.stats("one")
            await store.close()
            continue
        break
    await whole.close()
    assert stops > 3
    assert all(one.same for one in compared)


async def test_what_differs_is_found_and_is_no_store(tmp_path, empty_neo4j):
    path = tmp_path / "graph.db"
    await grown(path)

    class Losing(MigrationTarget):
        async def write(self, state, rows, reached):
            await super().write(state, rows[1:] if state.part is Part.EDGE_VERSIONS else rows, reached)

    into = Losing(Database(empty_neo4j, username=USERNAME, password=PASSWORD, database="neo4j", max_connections=2))
    compared, _ = await moved(path, empty_neo4j, into=into)
    assert [one.part for one in compared if not one.same] == [Part.EDGE_VERSIONS]
    store = neo4j.open_store(**settings(empty_neo4j))
    with pytest.raises(StoreCorrupt):
        await store.stats("one")
    await store.close()


async def test_a_source_that_went_on_is_not_mixed_in(tmp_path, empty_neo4j):
    path = tmp_path / "graph.db"
    await grown(path)
    database = Database(empty_neo4j, username=USERNAME, password=PASSWORD, database="neo4j", max_connections=2)
    with pytest.raises(StoreUnavailable, match="gone"):
        await moved(path, empty_neo4j, into=BreakingTarget(database, 3, kept=True))
    store = sqlite.open_store(path)
    await store.apply(write(agent(id=new_id())))
    await store.close()
    with pytest.raises(StoreUnavailable, match="has changed since this move was begun"):
        await moved(path, empty_neo4j)


async def migrate(*arguments: str) -> Ended:
    return await asyncio.to_thread(run_cli, "migrate", *arguments, NEO4J_USERNAME=USERNAME, NEO4J_PASSWORD=PASSWORD)


async def test_the_command_moves_says_so_and_refuses_what_is_in_use(tmp_path, empty_neo4j):
    await grown(tmp_path / "memory-graph.db")
    command = ("--from", str(tmp_path), "--to", empty_neo4j)
    owner = sqlite.open_store(tmp_path / "memory-graph.db")
    refused = await migrate(*command)
    assert (refused.code, "in use by another process" in refused.err) == (4, True)
    await owner.close()
    done = await migrate(*command, "--json")
    assert done.code == 0, done.err
    document = done.json
    assert document["same"]
    ((nodes,),) = asked(empty_neo4j, "MATCH (n:Node) RETURN count(n)")
    assert {one["part"]: one["rows"] for one in document["parts"]}["nodes"] == nodes
    assert "moving nodes: " in done.err
    again = await migrate(*command)
    assert (again.code, "holds a graph already" in again.err) == (4, True)


@pytest.mark.parametrize(
    ("source", "to", "sentence"),
    [
        ("nowhere", "bolt://localhost:1", "does not exist"),
        (".", "bolt://localhost:1", "holds no memory-graph.db"),
        ("plain", "postgresql://localhost", "--to must be like"),
        ("plain", "bolt://user:secret@localhost", "--to must be like"),
    ],
)
async def test_the_command_refuses_wrong_words(tmp_path, source, to, sentence):
    (tmp_path / "plain").touch()
    refused = await migrate("--from", str(tmp_path / source), "--to", to)
    assert (refused.code, sentence in refused.err, "secret" in refused.err) == (2, True, False)
    assert list(tmp_path.iterdir()) == [tmp_path / "plain"]
