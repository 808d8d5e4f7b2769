"""Conversations in the embedded store."""

from __future__ import annotations

import pytest

from ingest.conversation_contract import MappingContract, OrderContract, WaitingContract, ingestion  # noqa: F401
from memory_graph.store.sqlite import open_store


@pytest.fixture
async def store(tmp_path):
    opened = open_store(tmp_path / "graph.db")
    yield opened
    await opened.close()


class TestMapping(MappingContract):
    pass


class TestOrder(OrderContract):
    pass


class TestWaiting(WaitingContract):
    pass
