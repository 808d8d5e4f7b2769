"""Writes to sessions that others write to as well, and says each acknowledged write on a line of its own. What the
database could not answer for is repeated until it does. A process of a test.

    python neo4j_load.py <uri> <session id>…
"""

from __future__ import annotations

import asyncio
import random
import sys
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from memory_graph.model.errors import NotFound, StoreUnavailable
from memory_graph.store.neo4j import open_store
from store.graphs import delete, prompt, response, write
from support.neo4j_server import settings

WORKERS = 8


async def persist(store, *mutations) -> None:
    """Applies a write however often that takes. It has fixed ids, so once it is there a repeat changes nothing."""
    while True:
        try:
            await store.apply(write(*mutations))
        except StoreUnavailable:
            await asyncio.sleep(0.2)
        else:
            return


async def worker(store, sessions: list[str]) -> None:
    chance = random.Random()
    prompt_ids: list[str] = []
    while True:
        created = prompt(chance.choice(sessions), "word " * chance.randint(1, 100), model="m")
        second = response(created.node.id)
        await persist(store, created, second)
        prompt_ids.append(created.node.id)
        say("created", created.node.id)
        say("created", second.node.id)
        if chance.random() < 0.2:
            deleted = prompt_ids.pop(chance.randrange(len(prompt_ids)))
            say("deleting", deleted)
            with suppress(NotFound):  # it was deleted, then the connection broke
                await persist(store, delete(deleted))
            say("deleted", deleted)


def say(action: str, id: str) -> None:
    sys.stdout.write(f"{action} {id}\n")
    sys.stdout.flush()


async def main() -> None:
    uri, *sessions = sys.argv[1:]
    store = open_store(**settings(uri))
    await asyncio.gather(*(worker(store, sessions) for _ in range(WORKERS)))


asyncio.run(main())
