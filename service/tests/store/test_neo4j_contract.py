"""The Neo4j store keeps the store contract."""

from __future__ import annotations

import pytest

from memory_graph.store.neo4j import open_store
from memory_graph.store.neo4j.schema import SEARCH
from store.chain_contract import ChainContract
from store.commit_log_contract import CommitLogContract, SharedCursorContract
from store.feed_contract import FeedContract, LifecycleContract
from store.observed_contract import ObservedContract
from store.read_contract import EdgeContract, QueryContract, TenantContract
from store.smoke_test_contract import SmokeTestContract
from store.store_contract import AtomicContract, CreateContract, StoreClock
from store.temporal_contract import ReplayContract, TimeContract, WalkContract
from store.update_contract import DeleteContract, UpdateContract
from support.neo4j_server import run_statement, settings

pytestmark = pytest.mark.xdist_group("neo4j")


@pytest.fixture
def clock():
    return StoreClock()


@pytest.fixture
async def store(empty_neo4j, clock):
    opened = open_store(**settings(empty_neo4j), clock=clock, max_buffered_events=100)
    yield opened
    await opened.close()


@pytest.fixture
def contents(empty_neo4j, store):
    """All nodes and relationships, and which of them the full-text index finds."""

    async def rows():
        return [
            sorted(map(repr, run_statement(empty_neo4j, statement)))
            for statement in (
                "MATCH (n) RETURN elementId(n), labels(n), properties(n)",
                "MATCH (a)-[r]->(b) RETURN elementId(a), elementId(r), elementId(b), type(r), properties(r)",
                f"CALL db.index.fulltext.queryNodes('{SEARCH}', '*:*') YIELD node RETURN elementId(node)",
            )
        ]

    return rows


class TestNeo4jCreate(CreateContract):
    pass


class TestNeo4jAtomic(AtomicContract):
    pass


class TestNeo4jChain(ChainContract):
    pass


class TestNeo4jUpdate(UpdateContract):
    pass


class TestNeo4jDelete(DeleteContract):
    pass


class TestNeo4jEdges(EdgeContract):
    pass


class TestNeo4jQuery(QueryContract):
    pass


class TestNeo4jTenants(TenantContract):
    pass


class TestNeo4jFeed(FeedContract):
    pass


class TestNeo4jLifecycle(LifecycleContract):
    pass


class TestNeo4jWalk(WalkContract):
    pass


class TestNeo4jReplay(ReplayContract):
    pass


class TestNeo4jObserved(ObservedContract):
    pass


class TestNeo4jTime(TimeContract):
    pass


class TestNeo4jCommitLog(CommitLogContract):
    pass


class TestNeo4jSharedCursor(SharedCursorContract):
    pass


class TestNeo4jSmokeTest(SmokeTestContract):
    pass
