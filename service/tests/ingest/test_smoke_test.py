"""Nodes of interrupted smoke tests are deleted by their age, and nothing else is."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from memory_graph.ingest import smoke_test
from memory_graph.ingest.smoke_test import MAX_AGE_S, expire, expire_forever
from memory_graph.model.errors import StoreUnavailable
from memory_graph.model.queries import NodeFilter
from memory_graph.model.tenants import SMOKE_TEST_TENANT
from memory_graph.store.sqlite import open_store
from store.graphs import TENANT, agent, prompt, session, write

_S = 1_000_000_000
START = 1_000_000 * _S


@pytest.fixture
def now():
    return [START]


@pytest.fixture
async def store(tmp_path, now):
    opened = open_store(tmp_path / "graph.db", clock=lambda: now[0])
    yield opened
    await opened.close()


async def left_by(store, tenant):
    return [node.id async for node in store.scan(tenant, NodeFilter())]


async def test_what_is_old_is_deleted_whatever_time_it_says_and_what_is_young_or_a_users_stays(store, now):
    opened = session(at=START * 2)
    old = [opened, prompt(opened.node.id, at=START * 2), agent(at=START * 2)]
    for tenant in (SMOKE_TEST_TENANT, TENANT):
        await store.apply(write(*old, tenant=tenant))
    now[0] += int((MAX_AGE_S - 1) * _S)
    young = session(at=0)
    await store.apply(write(young, tenant=SMOKE_TEST_TENANT))
    assert await expire(store, now=lambda: now[0]) == 0
    now[0] += 2 * _S
    assert await expire(store, now=lambda: now[0]) == 3
    assert await left_by(store, SMOKE_TEST_TENANT) == [young.node.id]
    assert len(await left_by(store, TENANT)) == 3


async def test_a_store_that_is_away_is_looked_at_again(store, monkeypatch):
    """The loop goes on: the second look finds what the first could not."""
    away, looked = [StoreUnavailable("away")], asyncio.Event()

    async def look(of, **_):
        if away:
            raise away.pop()
        looked.set()
        return 0

    monkeypatch.setattr(smoke_test, "expire", look)
    monkeypatch.setattr(smoke_test, "EXPIRY_INTERVAL_S", 0.0)
    running = asyncio.create_task(expire_forever(store))
    await asyncio.wait_for(looked.wait(), 30)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
