"""The embedded store keeps the store contract."""

from __future__ import annotations

import apsw
import pytest

from memory_graph.model.tenants import SMOKE_TEST_TENANT
from memory_graph.store.sqlite import open_store
from store.chain_contract import ChainContract
from store.commit_log_contract import CommitLogContract
from store.feed_contract import FeedContract, LifecycleContract
from store.observed_contract import ObservedContract
from store.read_contract import EdgeContract, QueryContract, TenantContract
from store.smoke_test_contract import SmokeTestContract
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


@pytest.fixture
def contents(tmp_path, store):
    """All rows but the name of the smoke test's tenant; of the full-text index, whose rows are packed, the terms."""

    async def rows():
        file = apsw.Connection(str(tmp_path / "graph.db"))
        file.execute("CREATE VIRTUAL TABLE temp.terms USING fts5vocab(main, texts, instance)")
        file.execute("INSERT INTO texts (texts) VALUES ('integrity-check')")
        tables = [name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {
            name: sorted(map(repr, file.execute(f"SELECT * FROM {name}")))
            for name in [*tables, "temp.terms"]
            if not name.startswith(("texts", "sqlite_sequence"))
        }
        file.close()
        found["tenants"] = [row for row in found["tenants"] if SMOKE_TEST_TENANT not in row]
        return found

    return rows


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


class TestSmokeTest(SmokeTestContract):
    pass
