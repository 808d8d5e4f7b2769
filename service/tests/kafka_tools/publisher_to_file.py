"""A publisher of the change feed of a Neo4j database that writes the ids of events to a file.

python publisher_to_file.py <uri> <file>
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry

from memory_graph.kafka import outbox
from memory_graph.store.neo4j import open_store
from support.neo4j_server import settings

CLAIM_S = 3.0


async def main(uri: str, path: Path) -> None:
    outbox.CLAIM_S, outbox.RENEW_S = CLAIM_S, CLAIM_S / 3

    async def send(records) -> dict:
        with path.open("ab") as stream:
            for record in records:
                stream.write(json.loads(record.body)["id"].encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        return {}

    store = open_store(**settings(uri))
    await outbox.Publisher(store, send, "events", outbox.OutboxMetrics(CollectorRegistry())).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
