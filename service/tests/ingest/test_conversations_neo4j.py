"""Conversations in Neo4j."""

from __future__ import annotations

import pytest

from ingest.conversation_contract import MappingContract, OrderContract, WaitingContract, ingestion  # noqa: F401
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


class TestOrder(OrderContract):
    pass


class TestWaiting(WaitingContract):
    pass
