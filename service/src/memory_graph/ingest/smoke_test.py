"""Deletes the nodes of interrupted smoke tests by their age."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

import structlog

from memory_graph.model.errors import GraphError, NotFound
from memory_graph.model.ids import new_id
from memory_graph.model.mutations import DeleteNode, Write
from memory_graph.model.queries import NodeFilter
from memory_graph.model.tenants import SMOKE_TEST_TENANT
from memory_graph.model.times import NS_PER_S
from memory_graph.store.protocol import GraphStore

MAX_AGE_S = 600.0
"""Longest age of a smoke test's node. A smoke test takes seconds, and deletes its nodes itself."""
EXPIRY_INTERVAL_S = 300.0
"""Time between two scans, plus or minus half of it, so that processes that share a store do not scan together."""

_log = structlog.get_logger(__name__)


async def expire(store: GraphStore, *, now: Callable[[], int] = time.time_ns) -> int:
    """Delete nodes that smoke tests stored more than MAX_AGE_S ago. Returns their number. Raises `StoreUnavailable`.

    Age is by the store's clock: the times of a node are its writer's to choose.
    """
    expired = 0
    async for node in store.scan(SMOKE_TEST_TENANT, NodeFilter()):
        if node.recorded_at > now() - MAX_AGE_S * NS_PER_S:
            continue
        mutation = DeleteNode(node_id=node.id, at=now(), relink_edge_id=new_id())
        try:
            await store.apply(Write(tenant=SMOKE_TEST_TENANT, mutations=(mutation,)))
        except NotFound:
            continue  # it went with its session
        expired += 1
    return expired


async def expire_forever(store: GraphStore) -> None:
    """Scan now, and then every EXPIRY_INTERVAL_S. After an error of the store the next scan tries again."""
    while True:
        try:
            if expired := await expire(store):
                _log.info("interrupted smoke test cleaned up", nodes=expired)
        except GraphError as error:
            _log.warning("smoke tests cannot be cleaned up now", reason=str(error))
        await asyncio.sleep(EXPIRY_INTERVAL_S * random.uniform(0.5, 1.5))  # noqa: S311 - a spread, not a secret
