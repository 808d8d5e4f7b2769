"""Writes to a store until it is killed, and says each acknowledged write on a line of its own. A process of a test."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from memory_graph.store.sqlite import open_store
from store.graphs import delete, prompt, response, session, write

WORKERS = 8


async def worker(store, number: int) -> None:
    chance = random.Random(number)
    while True:
        opened = session()
        await store.apply(write(opened))
        say("created", opened.node.id)
        prompt_ids: list[str] = []
        for _ in range(chance.randint(3, 30)):
            created = prompt(opened.node.id, "word " * chance.randint(1, 200), model="m")
            second = response(created.node.id)
            await store.apply(write(created, second))
            prompt_ids.append(created.node.id)
            say("created", created.node.id)
            say("created", second.node.id)
            if chance.random() < 0.2:
                deleted = prompt_ids.pop(chance.randrange(len(prompt_ids)))
                say("deleting", deleted)
                await store.apply(write(delete(deleted)))
                say("deleted", deleted)


def say(action: str, id: str) -> None:
    sys.stdout.write(f"{action} {id}\n")
    sys.stdout.flush()


async def main() -> None:
    store = open_store(sys.argv[1])
    await asyncio.gather(*(worker(store, number) for number in range(WORKERS)))


asyncio.run(main())
