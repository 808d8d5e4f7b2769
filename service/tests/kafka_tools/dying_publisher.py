"""A publisher that is killed after its records are written and before its cursor moves: the worst moment.

python dying_publisher.py <store file> <bootstrap servers> <topic> <batches that go well first>
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from prometheus_client import CollectorRegistry

from memory_graph.config import Settings
from memory_graph.kafka import outbox
from memory_graph.store.protocol import spawn_unwatched
from memory_graph.store.sqlite import open_store

outbox.MAX_BATCH_EVENTS = 10


async def main(path: str, bootstrap: str, topic: str, batches: int) -> None:
    store = open_store(path)
    move = store.move_cursor
    remaining = batches

    async def killed(reader: str, holder: str, seq: int) -> bool:
        nonlocal remaining
        if not remaining:
            os.kill(os.getpid(), signal.SIGKILL)
        remaining -= 1
        return await move(reader, holder, seq)

    store.move_cursor = killed
    settings = Settings(kafka_bootstrap_servers=bootstrap, kafka_events_topic=topic)
    async with outbox.running(store, settings, CollectorRegistry(), spawn_unwatched):
        await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:4], int(sys.argv[4])))
