"""Neo4j goes away: nothing acknowledged is lost, nothing is there twice, and the store comes back by itself."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from neo4j import AsyncManagedTransaction, GraphDatabase, Query
from neo4j.exceptions import IncompleteCommit, Neo4jError
from prometheus_client import CollectorRegistry

from ingest.samples import message
from memory_graph.ingest.planner import node_id
from memory_graph.ingest.telemetry.decode import from_message
from memory_graph.ingest.telemetry.pipeline import Pipeline
from memory_graph.model.errors import StoreCorrupt, StoreUnavailable
from memory_graph.model.nodes import AgentData
from memory_graph.store.neo4j import changes, open_store
from memory_graph.store.neo4j.tail import Tail
from memory_graph.telemetry.ingestion import IngestionMetrics
from store.chains import chain
from store.graphs import TENANT, agent, session, update, write
from store.store_contract import made
from store.truth import counts_are_true, feed_is_whole
from support.neo4j_server import PASSWORD, USERNAME, asked, settings, wipe
from support.processes import free_port

pytestmark = pytest.mark.xdist_group("neo4j")

KILLS = 1
BETWEEN = 200
"""Acknowledged writes before each kill, and after the last."""


async def answers(store) -> None:
    """Waits until the store says that it can read and write."""
    async with asyncio.timeout(120):
        while True:
            with suppress(StoreUnavailable):
                return await store.ping()
            await asyncio.sleep(0.1)


class Load:
    """A process that writes, and what it has said so far."""

    def __init__(self, uri: str, sessions: list[str]) -> None:
        script = Path(__file__).with_name("neo4j_load.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), uri, *sessions], stdout=subprocess.PIPE, text=True, cwd=script.parent.parent
        )
        self.lines: list[list[str]] = []
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            with self._more:
                self.lines.append(line.split())
                self._more.notify_all()

    def wait_for_more(self, count: int) -> None:
        with self._more:
            wanted = len(self.lines) + count
            assert self._more.wait_for(lambda: len(self.lines) >= wanted, timeout=180), "the load stands still"

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()


async def test_acknowledged_writes_survive_kill(neo4j_process):
    uri = neo4j_process.uri
    wipe(uri)
    store = open_store(**settings(uri))
    sessions = [session() for _ in range(3)]
    await made(store, *sessions)
    ids = [create.node.id for create in sessions]
    loads = [Load(uri, ids) for _ in range(2)]
    try:
        for _ in range(KILLS):
            for load in loads:
                load.wait_for_more(BETWEEN)
            neo4j_process.kill()
            with pytest.raises(StoreUnavailable, match="cannot be used now"):
                await store.ping()
            neo4j_process.start()
            await answers(store)
        for load in loads:
            load.wait_for_more(BETWEEN)
    finally:
        for load in loads:
            load.stop()
    lines = [line for load in loads for line in load.lines if len(line) == 2]
    said = {kind: {id for what, id in lines if what == kind} for kind in ("created", "deleting", "deleted")}
    found = {node.id for node in await store.get_nodes(TENANT, list(said["created"]))}
    assert said["created"] - said["deleting"] <= found
    assert not said["deleted"] & found
    for id in ids:
        await chain(store, id)
    await counts_are_true(store, uri, TENANT)
    feed_is_whole(uri)
    told = await store.changes(TENANT, None, 1_000_000)
    created = [event.subject_id for event in told if event.type.name == "NODE_CREATED"]
    assert len(created) == len(set(created)), "a write was committed twice"
    assert said["created"] <= set(created)
    await store.close()


async def test_a_database_that_is_not_there_yet_is_waited_for_without_failing(neo4j_uri):
    nowhere = f"bolt://127.0.0.1:{free_port()}"
    store = open_store(**settings(nowhere))
    with pytest.raises(StoreUnavailable, match=nowhere):
        await store.ping()
    await store.close()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"password": "wrong"}, "NEO4J_PASSWORD"), ({"database": "absent"}, "NEO4J_DATABASE")],
    ids=["password", "database"],
)
async def test_a_wrong_setting_is_named(neo4j_uri, wrong, says):
    store = open_store(**{**settings(neo4j_uri), **wrong})
    with pytest.raises(StoreUnavailable, match=says):
        await store.stats(TENANT)
    await store.close()


async def test_a_newer_schema_and_a_foreign_graph_are_refused(empty_neo4j):
    versions = asked(empty_neo4j, "MATCH (v:SchemaVersion) RETURN v.version")
    try:
        asked(empty_neo4j, "MERGE (v:SchemaVersion {name: 'memory-graph'}) SET v.version = 99")
        store = open_store(**settings(empty_neo4j))
        with pytest.raises(StoreCorrupt, match="schema 99"):
            await store.stats(TENANT)
        await store.close()
        asked(empty_neo4j, "MATCH (v:SchemaVersion) DETACH DELETE v")
        asked(empty_neo4j, "CREATE (:Film {title: 'The Matrix'})")
        store = open_store(**settings(empty_neo4j))
        with pytest.raises(StoreCorrupt, match="another application"):
            await store.stats(TENANT)
        await store.close()
    finally:
        asked(empty_neo4j, "MATCH (n) DETACH DELETE n")
        for (version,) in versions:
            asked(empty_neo4j, "CREATE (:SchemaVersion {name: 'memory-graph', version: $version})", version=version)


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "lost"])
async def test_a_commit_whose_answer_is_lost_is_done_once(empty_neo4j, monkeypatch, kept):
    store = open_store(**settings(empty_neo4j))
    (stored,) = await made(store, agent("one", at=10))
    committing = AsyncManagedTransaction._commit
    breaks = iter([True])

    async def commit(tx):
        if not next(breaks, False):
            return await committing(tx)
        if kept:
            await committing(tx)
        else:
            await tx._rollback()
        raise IncompleteCommit("the connection broke")

    monkeypatch.setattr(AsyncManagedTransaction, "_commit", commit)
    applied = await store.apply(write(update(stored, AgentData(name="two"), at=20), agent("beside")))
    assert next(breaks, None) is None
    assert applied.results[0].data == AgentData(name="two")
    assert asked(empty_neo4j, "MATCH (v:NodeVersion) RETURN count(v)") == [[1]]
    assert (await store.changes(TENANT, None, 100))[1:] == list(applied.events)
    assert len(applied.events) == 2
    await counts_are_true(store, empty_neo4j, TENANT)
    feed_is_whole(empty_neo4j)
    await store.close()


async def test_a_caller_that_goes_away_leaves_its_transaction_whole(empty_neo4j):
    store = open_store(**settings(empty_neo4j))
    await store.stats(TENANT)
    for _ in range(20):
        reading = asyncio.create_task(store.stats(TENANT))
        writing = asyncio.create_task(store.apply(write(agent())))
        await asyncio.sleep(0.002)
        reading.cancel()
        writing.cancel()
        await asyncio.gather(reading, writing, return_exceptions=True)
    assert (await made(store, agent("last")))[0].data.name == "last"
    await counts_are_true(store, empty_neo4j, TENANT)
    await store.close()


@contextmanager
def feed_locked(uri: str) -> Iterator[None]:
    """Nobody commits inside."""
    with (
        GraphDatabase.driver(uri, auth=(USERNAME, PASSWORD)) as driver,
        driver.session() as session,
        session.begin_transaction() as holding,
    ):
        holding.run("MATCH (f:Feed {name: 'changes'}) SET f.held = true").consume()
        yield
        holding.rollback()


async def blocked(uri: str) -> str:
    """The id of the transaction that waits for the lock of the feed."""
    async with asyncio.timeout(60):
        while True:
            rows = await asyncio.to_thread(asked, uri, "SHOW TRANSACTIONS YIELD transactionId, status, currentQuery")
            for id, status, query in rows:
                if status.startswith("Blocked") and ":Feed" in query:
                    return id
            await asyncio.sleep(0.05)


async def test_a_transaction_that_an_operator_ends_is_an_unavailable_store(empty_neo4j):
    store = open_store(**settings(empty_neo4j))
    await made(store, agent("first"))
    with feed_locked(empty_neo4j):
        writing = asyncio.create_task(store.apply(write(agent("ended"))))
        id = await blocked(empty_neo4j)
        await asyncio.to_thread(asked, empty_neo4j, f"TERMINATE TRANSACTIONS '{id}'")
        with pytest.raises(StoreUnavailable, match="ended a transaction"):
            await writing
    (kept,) = await made(store, agent("after"))
    assert kept.data.name == "after"
    assert await store.totals() == await store.stats(TENANT)
    feed_is_whole(empty_neo4j)
    await store.close()


async def test_an_event_whose_transaction_is_ended_is_stored_and_no_dead_letter(empty_neo4j):
    store = open_store(**settings(empty_neo4j))
    await made(store, agent("first"))
    dead: list[object] = []
    draining = asyncio.Event()
    pipeline = Pipeline(
        store, IngestionMetrics(CollectorRegistry()), dead.extend, max_bytes=1_000_000, patience_s=60, draining=draining
    )
    with feed_locked(empty_neo4j):
        await pipeline.reserve(1_000)
        answer = pipeline.submit(TENANT, [from_message(message("good"))], 1_000)
        id = await blocked(empty_neo4j)
        await asyncio.to_thread(asked, empty_neo4j, f"TERMINATE TRANSACTIONS '{id}'")
    assert await asyncio.wait_for(answer, 60) == [None]
    assert dead == []
    assert [node.id for node in await store.get_nodes(TENANT, [node_id("good")])] == [node_id("good")]
    await pipeline.close()
    await store.close()


async def test_a_transaction_that_takes_too_long_is_an_unavailable_store(neo4j_uri):
    store = open_store(**settings(neo4j_uri))
    slow = Query("UNWIND range(1, 1000000000) AS n WITH n WHERE n < 0 RETURN count(n)", timeout=0.2)

    async def run(session) -> None:
        await (await session.run(slow)).consume()

    with pytest.raises(StoreUnavailable, match="time limits"):
        await store._database.in_session(run)
    await store.close()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("Neo.ClientError.Transaction.TransactionTimedOut", "db.transaction.timeout"),
        ("Neo.TransientError.Transaction.Terminated", "ended a transaction"),
        ("Neo.TransientError.Transaction.LockClientStopped", "ended a transaction"),
        ("Neo.ClientError.Transaction.TransactionNotFound", "ended a transaction"),
        ("Neo.ClientError.Transaction.InvalidBookmark", "ended a transaction"),
        ("Neo.ClientError.Cluster.NotALeader", "cannot be used now"),
        ("Neo.ClientError.General.ForbiddenOnReadOnlyDatabase", "cannot be used now"),
        ("Neo.ClientError.Security.AuthenticationRateLimit", "refuses this user"),
        ("Neo.ClientError.Security.CredentialsExpired", "refuses this user"),
        ("Neo.ClientError.Security.TokenExpired", "refuses this user"),
        ("Neo.TransientError.General.MemoryPoolOutOfMemoryError", "cannot be used now"),
        ("Neo.DatabaseError.Transaction.TransactionCommitFailed", "cannot be used now"),
        ("Neo.ClientError.Statement.SyntaxError", None),
        ("Neo.ClientError.Schema.ConstraintValidationFailed", None),
    ],
)
async def test_what_the_server_says_is_the_stores_fault_or_ours(code, says):
    database = open_store(**settings("bolt://127.0.0.1:1"))._database
    error = Neo4jError._hydrate_neo4j(code=code, message="told by the server")

    async def fails() -> None:
        async with database._session("WRITE"):
            raise error

    with pytest.raises(StoreUnavailable if says else type(error), match=says or "told by the server"):
        await fails()
    await database.close()


async def test_a_ping_reads_and_a_check_writes(empty_neo4j):
    store = open_store(**settings(empty_neo4j))
    await store.check_writable()
    (written,) = asked(empty_neo4j, "MATCH (p:Probe) RETURN p.at")
    for _ in range(3):
        await store.ping()
        await store.totals()
    assert asked(empty_neo4j, "MATCH (p:Probe) RETURN p.at") == [written]
    await store.check_writable()
    assert asked(empty_neo4j, "MATCH (p:Probe) RETURN p.at") > [written]
    await store.close()


async def test_subscribers_hear_of_it_when_the_commits_of_others_are_followed_no_more(empty_neo4j, monkeypatch):
    started: list[asyncio.Task] = []

    def spawn(coroutine, name):
        started.append(asyncio.create_task(coroutine, name=name))
        return started[-1]

    async def broken(*_):
        raise LookupError("a mistake of ours")

    store = open_store(**settings(empty_neo4j), spawn=spawn)
    await store.stats(TENANT)
    async with asyncio.timeout(60), store.subscribe(TENANT) as waiting:
        monkeypatch.setattr(changes, "read_all", broken)
        with pytest.raises(StoreUnavailable, match="no longer follows"):
            await waiting.next()
        async with store.subscribe(TENANT) as later:
            with pytest.raises(StoreUnavailable, match="no longer follows"):
                await later.next()
    (follower,) = started
    assert follower.get_name() == "commit-follower"
    assert isinstance(follower.exception(), LookupError)
    await store.close()


async def test_the_follower_goes_on_after_a_transaction_of_its_own_is_ended(empty_neo4j, monkeypatch):
    other = open_store(**settings(empty_neo4j))
    store = open_store(**settings(empty_neo4j))
    await store.stats(TENANT)
    breaks = iter([True, True])
    reading = changes.read_all

    async def ended(*arguments):
        if next(breaks, False):
            raise Neo4jError._hydrate_neo4j(code="Neo.ClientError.Transaction.Terminated", message="by an operator")
        return await reading(*arguments)

    async with asyncio.timeout(60), store.subscribe(TENANT) as subscription:
        monkeypatch.setattr(changes, "read_all", ended)
        applied = await other.apply(write(agent("of another")))
        assert await subscription.next() == applied.events
    assert next(breaks, None) is None
    for one in (store, other):
        await one.close()


async def test_what_follows_a_commit_cannot_make_it_be_done_again(empty_neo4j, monkeypatch):
    store = open_store(**settings(empty_neo4j), keep_changes=1)

    async def broken(*_, **__):
        raise LookupError("a mistake of ours")

    monkeypatch.setattr(changes, "trim", broken)
    monkeypatch.setattr(Tail, "publish", broken)
    async with asyncio.timeout(60):
        applied = await asyncio.gather(*(store.apply(write(agent(str(n)))) for n in range(20)))
    assert all(one.created for one in applied)
    assert (await store.stats(TENANT)).nodes == 20
    assert len(await store.changes(TENANT, None, 100)) == 20
    await store.close()


async def test_a_password_that_changes_is_read_again(neo4j_uri):
    held = ["before-rotation"]
    asked(neo4j_uri, "CREATE USER rotated SET PASSWORD 'before-rotation' CHANGE NOT REQUIRED")
    try:
        store = open_store(**{**settings(neo4j_uri), "username": "rotated", "password": lambda: held[0]})
        await store.ping()
        asked(neo4j_uri, "ALTER USER rotated SET PASSWORD 'after-rotation' CHANGE NOT REQUIRED")
        held[0] = "after-rotation"
        for _ in range(2):  # more connections than there are: refused once, then not
            outcomes = await asyncio.gather(*(store.stats(TENANT) for _ in range(2)), return_exceptions=True)
        assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        await store.close()
    finally:
        asked(neo4j_uri, "DROP USER rotated")


async def test_a_password_that_is_refused_and_has_not_changed_is_not_tried_again(neo4j_uri):
    reads = []
    store = open_store(**{**settings(neo4j_uri), "password": lambda: reads.append(1) or "wrong"})
    async with asyncio.timeout(10):
        with pytest.raises(StoreUnavailable, match="NEO4J_PASSWORD"):
            await store.stats(TENANT)
    assert len(reads) == 1
    await store.close()
