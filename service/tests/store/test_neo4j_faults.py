"""Neo4j goes away: nothing acknowledged is lost, nothing is there twice, and the store comes back by itself."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from neo4j import AsyncManagedTransaction
from neo4j.exceptions import IncompleteCommit

from memory_graph.model.errors import StoreUnavailable
from memory_graph.model.nodes import AgentData
from memory_graph.store.neo4j import changes, open_store
from memory_graph.store.neo4j.follower import CommitFollower
from store.chains import chain
from store.graphs import TENANT, agent, session, update, write
from store.store_contract import create_nodes
from store.truth import counts_are_true, feed_is_whole
from support.neo4j_server import run_statement, settings, wipe
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


class WriterProcess:
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
            expected = len(self.lines) + count
            assert self._more.wait_for(lambda: len(self.lines) >= expected, timeout=180), "the load stands still"

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()


async def test_acknowledged_writes_survive_kill(neo4j_process):
    uri = neo4j_process.uri
    wipe(uri)
    store = open_store(**settings(uri))
    sessions = [session() for _ in range(3)]
    await create_nodes(store, *sessions)
    ids = [create.node.id for create in sessions]
    loads = [WriterProcess(uri, ids) for _ in range(2)]
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
    reported = {kind: {id for action, id in lines if action == kind} for kind in ("created", "deleting", "deleted")}
    stored = {node.id for node in await store.get_nodes(TENANT, list(reported["created"]))}
    assert reported["created"] - reported["deleting"] <= stored
    assert not reported["deleted"] & stored
    for id in ids:
        await chain(store, id)
    await counts_are_true(store, uri, TENANT)
    feed_is_whole(uri)
    events = await store.changes(TENANT, None, 1_000_000)
    created = [event.subject_id for event in events if event.type.name == "NODE_CREATED"]
    assert len(created) == len(set(created)), "a write was committed twice"
    assert reported["created"] <= set(created)
    await store.close()


async def test_a_database_that_is_not_there_yet_is_waited_for_without_failing(neo4j_uri):
    nowhere = f"bolt://127.0.0.1:{free_port()}"
    store = open_store(**settings(nowhere))
    with pytest.raises(StoreUnavailable, match=nowhere):
        await store.ping()
    await store.close()


@pytest.mark.parametrize("committed", [True, False], ids=["committed", "lost"])
async def test_a_commit_whose_answer_is_lost_is_done_once(empty_neo4j, monkeypatch, committed):
    store = open_store(**settings(empty_neo4j))
    (stored,) = await create_nodes(store, agent("one", at=10))
    committing = AsyncManagedTransaction._commit
    breaks = iter([True])

    async def commit(tx):
        if not next(breaks, False):
            return await committing(tx)
        if committed:
            await committing(tx)
        else:
            await tx._rollback()
        raise IncompleteCommit("the connection broke")

    monkeypatch.setattr(AsyncManagedTransaction, "_commit", commit)
    applied = await store.apply(write(update(stored, AgentData(name="two"), at=20), agent("beside")))
    assert next(breaks, None) is None
    assert applied.results[0].data == AgentData(name="two")
    assert run_statement(empty_neo4j, "MATCH (v:NodeVersion) RETURN count(v)") == [[1]]
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
    assert (await create_nodes(store, agent("last")))[0].data.name == "last"
    await counts_are_true(store, empty_neo4j, TENANT)
    await store.close()


async def test_a_ping_reads_and_a_check_writes(empty_neo4j):
    store = open_store(**settings(empty_neo4j))
    await store.check_writable()
    (written,) = run_statement(empty_neo4j, "MATCH (p:Probe) RETURN p.at")
    for _ in range(3):
        await store.ping()
        await store.totals()
    assert run_statement(empty_neo4j, "MATCH (p:Probe) RETURN p.at") == [written]
    await store.check_writable()
    assert run_statement(empty_neo4j, "MATCH (p:Probe) RETURN p.at") > [written]
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


async def test_what_follows_a_commit_cannot_make_it_be_done_again(empty_neo4j, monkeypatch):
    store = open_store(**settings(empty_neo4j), keep_changes=1)

    async def broken(*_, **__):
        raise LookupError("a mistake of ours")

    monkeypatch.setattr(changes, "trim", broken)
    monkeypatch.setattr(CommitFollower, "publish", broken)
    async with asyncio.timeout(60):
        applied = await asyncio.gather(*(store.apply(write(agent(str(n)))) for n in range(20)))
    assert all(outcome.created for outcome in applied)
    assert (await store.stats(TENANT)).nodes == 20
    assert len(await store.changes(TENANT, None, 100)) == 20
    await store.close()
