"""The embedded store keeps the store contract."""

from __future__ import annotations

import pytest

from memory_graph.store.sqlite import open_store
from store.chain_contract import ChainContract
from store.commit_log_contract import CommitLogContract
from store.feed_contract import FeedContract, LifecycleContract
from store.observed_contract import ObservedContract
from store.read_contract import EdgeContract, QueryContract, TenantContract
from store.store_contract import (
    AtomicContract,
    Clock,
    CreateContract,
    DeleteContract,
    UpdateContract,
)
from store.temporal_contract import ReplayContract, TimeContract, WalkContract


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def store(tmp_path, clock):
    opened = open_store(tmp_path / "graph.db", clock=clock, max_buffered_events=100)
    yield opened
    await opened.close()


class TestCreate(CreateContract):
    pass


class TestObserved(ObservedContract):
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


class TestTime(TimeContract):
    pass


class TestCommitLog(CommitLogContract):
    pass
