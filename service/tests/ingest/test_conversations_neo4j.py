"""Conversations in Neo4j."""

from __future__ import annotations

import pytest

from ingest.conversation_contract import (  # noqa: F401
    MappingContract,
    any_order,
    check_order,
    examples,
    ingestion,
)
from ingest.pending_contract import PendingContract
from memory_graph.store.neo4j import open_store
from support.neo4j_server import settings

pytestmark = pytest.mark.xdist_group("neo4j")


@pytest.fixture
async def store(empty_neo4j):
    opened = open_store(**settings(empty_neo4j))
    yield opened
    await opened.close()


class TestNeo4jMapping(MappingContract):
    pass


@examples(4)
@any_order
async def test_order_batches_and_repeats_make_no_difference(store, ingestion, events, sizes, at_once):  # noqa: F811
    await check_order(store, ingestion, events, sizes, at_once)


class TestNeo4jPending(PendingContract):
    pass
