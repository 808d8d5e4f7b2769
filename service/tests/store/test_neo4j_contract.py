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
from store.store_contract import AtomicContract, Clock, CreateContract, DeleteContract, UpdateContract
from store.temporal_contract import ReplayContract, TimeContract, WalkContract
from support.neo4j_server import asked, settings

pytestmark = pytest.mark.xdist_group("neo4j")


@pytest.fixture
def clock():
    return Clock()


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
            sorted(map(repr, asked(empty_neo4j, statement)))
            for statement in (
                "MATCH (n) RETURN elementId(n), labels(n), properties(n)",
                "MATCH (a)-[r]->(b) RETURN elementId(a), elementId(r), elementId(b), type(r), properties(r)",
                f"CALL db.index.fulltext.queryNodes('{SEARCH}', '*:*') YIELD node RETURN elementId(node)",
            )
        ]

    return rows


class TestCreate(CreateContract):
    pass


class TestAtomic(AtomicContract):
    pass


class TestChain(ChainContract):
    pass


class TestUpdate(UpdateContract):
    pass


class TestDelete(DeleteContract):
    pass


class TestEdges(EdgeContract):
    pass


class TestQuery(QueryContract):
    pass


class TestTenants(TenantContract):
    pass


class TestFeed(FeedContract):
    pass


class TestLifecycle(LifecycleContract):
    pass


class TestWalk(WalkContract):
    pass


class TestReplay(ReplayContract):
    pass


class TestObserved(ObservedContract):
    pass


class TestTime(TimeContract):
    pass


class TestCommitLog(CommitLogContract):
    pass


class TestSharedCursor(SharedCursorContract):
    pass


class TestSmokeTest(SmokeTestContract):
    pass
