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
    CreateContract,
    StoreClock,
)
from store.temporal_contract import ReplayContract, TimeContract, WalkContract
from store.update_contract import DeleteContract, UpdateContract


@pytest.fixture
def clock():
    return StoreClock()


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
        tables = {
            name: sorted(map(repr, file.execute(f"SELECT * FROM {name}")))
            for name in [*tables, "temp.terms"]
            if not name.startswith(("texts", "sqlite_sequence"))
        }
        file.close()
        tables["tenants"] = [row for row in tables["tenants"] if SMOKE_TEST_TENANT not in row]
        return tables

    return rows


class TestSqliteCreate(CreateContract):
    pass


class TestSqliteObserved(ObservedContract):
    pass


class TestSqliteAtomic(AtomicContract):
    pass


class TestSqliteChain(ChainContract):
    pass


class TestSqliteUpdate(UpdateContract):
    pass


class TestSqliteDelete(DeleteContract):
    pass


class TestSqliteEdges(EdgeContract):
    pass


class TestSqliteQuery(QueryContract):
    pass


class TestSqliteTenants(TenantContract):
    pass


class TestSqliteFeed(FeedContract):
    pass


class TestSqliteLifecycle(LifecycleContract):
    pass


class TestSqliteWalk(WalkContract):
    pass


class TestSqliteReplay(ReplayContract):
    pass


class TestSqliteTime(TimeContract):
    pass


class TestSqliteCommitLog(CommitLogContract):
    pass


class TestSqliteSmokeTest(SmokeTestContract):
    pass
