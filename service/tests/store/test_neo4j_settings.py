"""Settings of the database: wrong ones are named, databases of others are left alone, passwords may change."""

from __future__ import annotations

import asyncio

import pytest

from memory_graph.model.errors import StoreCorrupt, StoreUnavailable
from memory_graph.store.neo4j import open_store
from store.graphs import TENANT
from support.neo4j_server import run_statement, settings

pytestmark = pytest.mark.xdist_group("neo4j")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [({"password": "wrong"}, "NEO4J_PASSWORD"), ({"database": "absent"}, "NEO4J_DATABASE")],
    ids=["password", "database"],
)
async def test_a_wrong_setting_is_named(neo4j_uri, wrong, sentence):
    store = open_store(**{**settings(neo4j_uri), **wrong})
    with pytest.raises(StoreUnavailable, match=sentence):
        await store.stats(TENANT)
    await store.close()


async def test_a_newer_schema_and_a_foreign_graph_are_refused(empty_neo4j):
    versions = run_statement(empty_neo4j, "MATCH (v:SchemaVersion) RETURN v.version")
    try:
        run_statement(empty_neo4j, "MERGE (v:SchemaVersion {name: 'memory-graph'}) SET v.version = 99")
        store = open_store(**settings(empty_neo4j))
        with pytest.raises(StoreCorrupt, match="schema 99"):
            await store.stats(TENANT)
        await store.close()
        run_statement(empty_neo4j, "MATCH (v:SchemaVersion) DETACH DELETE v")
        run_statement(empty_neo4j, "CREATE (:Film {title: 'The Matrix'})")
        store = open_store(**settings(empty_neo4j))
        with pytest.raises(StoreCorrupt, match="another application"):
            await store.stats(TENANT)
        await store.close()
    finally:
        run_statement(empty_neo4j, "MATCH (n) DETACH DELETE n")
        for (version,) in versions:
            run_statement(
                empty_neo4j, "CREATE (:SchemaVersion {name: 'memory-graph', version: $version})", version=version
            )


async def test_a_password_that_changes_is_read_again(neo4j_uri):
    held = ["before-rotation"]
    run_statement(neo4j_uri, "CREATE USER rotated SET PASSWORD 'before-rotation' CHANGE NOT REQUIRED")
    try:
        store = open_store(**{**settings(neo4j_uri), "username": "rotated", "password": lambda: held[0]})
        await store.ping()
        run_statement(neo4j_uri, "ALTER USER rotated SET PASSWORD 'after-rotation' CHANGE NOT REQUIRED")
        held[0] = "after-rotation"
        for _ in range(2):  # more connections than there are: refused once, then not
            outcomes = await asyncio.gather(*(store.stats(TENANT) for _ in range(2)), return_exceptions=True)
        assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        await store.close()
    finally:
        run_statement(neo4j_uri, "DROP USER rotated")


async def test_a_password_that_is_refused_and_has_not_changed_is_not_tried_again(neo4j_uri):
    reads = []
    store = open_store(**{**settings(neo4j_uri), "password": lambda: reads.append(1) or "wrong"})
    async with asyncio.timeout(10):
        with pytest.raises(StoreUnavailable, match="NEO4J_PASSWORD"):
            await store.stats(TENANT)
    assert len(reads) == 1
    await store.close()
