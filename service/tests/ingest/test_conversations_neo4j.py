"""Conversations in Neo4j."""

from __future__ import annotations

import pytest

from ingest.conversation_contract import (  # noqa: F401
    MappingContract,
    WaitingContract,
    any_order,
    check_order,
    examples,
    ingestion,
)
from memory_graph.store.neo4j import open_store
from support.neo4j_server import settings

pytestmark = pytest.mark.xdist_group("neo4j")


@pytest.fixture
async def store(empty_neo4j):
    opened = open_store(**settings(empty_neo4j))
    yield opened
    await opened.close()


class TestMapping(MappingContract):
    pass


@examples(4)
@any_order
async def test_order_batches_and_repeats_make_no_difference(store, ingestion, told, sizes, at_once):  # noqa: F811
    await check_order(store, ingestion, told, sizes, at_once)


class TestWaiting(WaitingContract):
    pass
