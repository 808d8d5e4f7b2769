"""Transactions that end before their time, by an operator or a limit: an unavailable store, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from neo4j import GraphDatabase, Query
from neo4j.exceptions import Neo4jError
from prometheus_client import CollectorRegistry

from ingest.samples import message
from memory_graph.ingest.dead_letters import DeadLetterHandlers
from memory_graph.ingest.pipeline import Pipeline, PipelineSettings
from memory_graph.ingest.telemetry.decode import from_message
from memory_graph.ingest.write_planner import node_id
from memory_graph.model.errors import StoreUnavailable
from memory_graph.store.neo4j import changes, open_store
from memory_graph.telemetry.ingestion import IngestionMetrics
from store.graphs import TENANT, agent, write
from store.store_contract import create_nodes
from store.truth import feed_is_whole
from support.neo4j_server import PASSWORD, USERNAME, run_statement, settings

pytestmark = pytest.mark.xdist_group("neo4j")


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
            rows = await asyncio.to_thread(
                run_statement, uri, "SHOW TRANSACTIONS YIELD transactionId, status, currentQuery"
            )
            for id, status, query in rows:
                if status.startswith("Blocked") and ":Feed" in query:
                    return id
            await asyncio.sleep(0.05)


async def test_a_transaction_that_an_operator_ends_is_an_unavailable_store(empty_neo4j):
    store = open_store(**settings(empty_neo4j))
    await create_nodes(store, agent("first"))
    with feed_locked(empty_neo4j):
        writing = asyncio.create_task(store.apply(write(agent("ended"))))
        id = await blocked(empty_neo4j)
        await asyncio.to_thread(run_statement, empty_neo4j, f"TERMINATE TRANSACTIONS '{id}'")
        with pytest.raises(StoreUnavailable, match="ended a transaction"):
            await writing
    (stored,) = await create_nodes(store, agent("after"))
    assert stored.data.name == "after"
    assert await store.totals() == await store.stats(TENANT)
    feed_is_whole(empty_neo4j)
    await store.close()


async def test_an_event_whose_transaction_is_ended_is_stored_and_no_dead_letter(empty_neo4j):
    store = open_store(**settings(empty_neo4j))
    await create_nodes(store, agent("first"))
    dead: list[object] = []
    draining = asyncio.Event()
    pipeline = Pipeline(
        store,
        IngestionMetrics(CollectorRegistry()),
        PipelineSettings(max_bytes=1_000_000, max_wait_s=60),
        DeadLetterHandlers(dead.extend),
        draining=draining,
    )
    with feed_locked(empty_neo4j):
        await pipeline.reserve(1_000)
        answer = pipeline.submit(TENANT, [from_message(message("good"))], 1_000)
        id = await blocked(empty_neo4j)
        await asyncio.to_thread(run_statement, empty_neo4j, f"TERMINATE TRANSACTIONS '{id}'")
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
    ("code", "sentence"),
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
async def test_what_the_server_says_is_the_stores_fault_or_ours(code, sentence):
    database = open_store(**settings("bolt://127.0.0.1:1"))._database
    error = Neo4jError._hydrate_neo4j(code=code, message="told by the server")

    async def fails() -> None:
        async with database._session("WRITE"):
            raise error

    with pytest.raises(StoreUnavailable if sentence else type(error), match=sentence or "told by the server"):
        await fails()
    await database.close()


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
    for first in (store, other):
        await first.close()
