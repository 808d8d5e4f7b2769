"""Conversations in the embedded store."""

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
from memory_graph.store.sqlite import open_store


@pytest.fixture
async def store(tmp_path):
    opened = open_store(tmp_path / "graph.db")
    yield opened
    await opened.close()


class TestEmbeddedMapping(MappingContract):
    pass


@examples(25)
@any_order
async def test_order_batches_and_repeats_make_no_difference(store, ingestion, events, sizes, at_once):  # noqa: F811
    await check_order(store, ingestion, events, sizes, at_once)


class TestEmbeddedPending(PendingContract):
    pass
