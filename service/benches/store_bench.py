"""The embedded store by itself: writes against raw inserts of the same rows, and what stays flat as a session grows.

    python service/benches/store_bench.py [--folder DIR] [--session 100000]

The two sides of a ratio are measured in turn in one run, so that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import apsw

from memory_graph.model.attributes import text
from memory_graph.model.ids import new_id
from memory_graph.model.kinds import EdgeType, NodeType
from memory_graph.model.mutations import CreateNode, Write
from memory_graph.model.nodes import Edge, Node, PromptData, PromptMetadata, SessionData
from memory_graph.model.queries import NodeFilter
from memory_graph.runtime.opening import tune_gc
from memory_graph.store.sqlite import SqliteStore, open_store
from memory_graph.store.sqlite.connection import open_writer
from memory_graph.store.sqlite.schema import migrate

TENANT = "default"
IN_FLIGHT = 64
CONTENT = "Please compare the two deployment plans and say which one rolls back faster, and why. " * 4


def session() -> CreateNode:
    id, now = new_id(), time.time_ns()
    node = Node(id=id, type=NodeType.SESSION, data=SessionData(), created_at=now, updated_at=now, session_id=id)
    return CreateNode(node=node)


def prompt(session_id: str) -> CreateNode:
    """What AddPrompt writes: a node with BELONGS_TO and FOLLOWS, one indexed attribute, its words."""
    id, now = new_id(), time.time_ns()
    data = PromptData(session_id=session_id, content=CONTENT, metadata=PromptMetadata(model="large", temperature=0.2))
    return CreateNode(
        node=Node(id=id, type=NodeType.PROMPT, data=data, created_at=now, updated_at=now, session_id=session_id),
        edges=(Edge(id=new_id(), type=EdgeType.BELONGS_TO, from_id=id, to_id=session_id, created_at=now),),
        follows_edge_id=new_id(),
    )


async def new_session(store: SqliteStore) -> str:
    create = session()
    await store.apply(Write(tenant=TENANT, mutations=(create,)))
    return create.node.id


class Raw:
    """A file of the same schema, filled with `executemany` in one transaction per batch."""

    def __init__(self, path: Path) -> None:
        self._connection = open_writer(path)
        migrate(self._connection)
        self._statements = {
            table: f"INSERT INTO {table} VALUES ({', '.join('?' * width)})"
            for table, width in (("nodes", 11), ("edges", 10), ("attributes", 5), ("changes", 5))
        }

    def insert(self, rows: dict[str, list[tuple[Any, ...]]], words: list[tuple[int, str, str]]) -> float:
        began = time.perf_counter()
        with self._connection:
            for table, statement in self._statements.items():
                self._connection.executemany(statement, rows[table])
            self._connection.executemany("INSERT INTO texts (rowid, scope, text) VALUES (?, ?, ?)", words)
        return time.perf_counter() - began


async def batch_against_raw(store: SqliteStore, folder: Path, rounds: int = 12) -> dict[str, float]:
    """1,000 nodes a write against the very rows it made, inserted raw. The first rounds warm both up."""
    raw = Raw(folder / "raw.db")
    reading = apsw.Connection(str(folder / "graph.db"), flags=apsw.SQLITE_OPEN_READONLY)
    here = await new_session(store)
    seen = {"nodes": 0, "edges": 0, "changes": 0}
    ours, theirs = [], []
    for _ in range(rounds):
        for table, key in (("nodes", "n"), ("edges", "e"), ("changes", "seq")):
            seen[table] = reading.execute(f"SELECT coalesce(max({key}), 0) FROM {table}").get
        creates = tuple(prompt(here) for _ in range(1_000))
        began = time.perf_counter()
        await store.apply(Write(tenant=TENANT, mutations=creates))
        ours.append(time.perf_counter() - began)
        rows = {
            "nodes": reading.execute("SELECT * FROM nodes WHERE n > ?", (seen["nodes"],)).fetchall(),
            "edges": reading.execute("SELECT * FROM edges WHERE e > ?", (seen["edges"],)).fetchall(),
            "changes": reading.execute("SELECT * FROM changes WHERE seq > ?", (seen["changes"],)).fetchall(),
            "attributes": reading.execute("SELECT * FROM attributes WHERE n > ?", (seen["nodes"],)).fetchall(),
        }
        words = [(row[0], "t1 s1", text(create.node.data)) for row, create in zip(rows["nodes"], creates, strict=True)]
        theirs.append(raw.insert(rows, words))
    mine, plain = statistics.median(ours[2:]), statistics.median(theirs[2:])
    return {"nodes_per_s": 1_000 / mine, "raw_nodes_per_s": 1_000 / plain, "ratio_to_raw": plain / mine}


async def in_flight(store: SqliteStore, sessions: list[str], writes: int = 12_000) -> dict[str, float]:
    """AddPrompt with 64 callers."""
    latencies: list[float] = []

    async def caller(number: int) -> None:
        for turn in range(writes // IN_FLIGHT):
            create = prompt(sessions[(number + turn) % len(sessions)])
            began = time.perf_counter()
            await store.apply(Write(tenant=TENANT, mutations=(create,)))
            latencies.append(time.perf_counter() - began)

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*map(caller, range(IN_FLIGHT)))
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    done = len(latencies)
    return {"writes_per_s": done / took, "cpu_us_per_write": cpu / done * 1e6, "p95_ms": p95(latencies) * 1e3}


async def long_against_short(store: SqliteStore, long: str, rounds: int = 1_500) -> dict[str, float]:
    """AddPrompt one at a time into a long session and into new ones."""
    took: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(rounds):
        short = await new_session(store)
        for is_long in (True, False) if turn % 2 else (False, True):
            create = prompt(long if is_long else short)
            began = time.perf_counter()
            await store.apply(Write(tenant=TENANT, mutations=(create,)))
            took[is_long].append(time.perf_counter() - began)
    slow, quick = statistics.median(took[True]), statistics.median(took[False])
    return {"long_us": slow * 1e6, "short_us": quick * 1e6, "ratio_to_short": slow / quick}


async def pages(store: SqliteStore, long: str, reads: int = 400) -> dict[str, float]:
    """Query with 100 nodes a page, near and far into the session; and point reads."""
    condition = NodeFilter(session_id=long, type=NodeType.PROMPT)
    timed: dict[str, list[float]] = {"near": [], "far": [], "node": []}
    page = await store.query(TENANT, condition, 100, 0)
    for turn in range(reads):
        for name, offset in (("near", turn % 10 * 100), ("far", page.total_count // 2)):
            began = time.perf_counter()
            await store.query(TENANT, condition, 100, offset)
            timed[name].append(time.perf_counter() - began)
        began = time.perf_counter()
        await store.get_nodes(TENANT, [page.nodes[turn % 100].id])
        timed["node"].append(time.perf_counter() - began)
    return {f"{name}_p95_ms": p95(times) * 1e3 for name, times in timed.items()}


def p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20)[-1]


async def run(folder: Path, length: int) -> dict[str, dict[str, float]]:
    store = open_store(folder / "graph.db")
    found = {"batch of 1,000": await batch_against_raw(store, folder)}
    found["AddPrompt, 64 in flight, 64 sessions"] = await in_flight(
        store, [await new_session(store) for _ in range(IN_FLIGHT)]
    )
    found["AddPrompt, 64 in flight, 1 session"] = await in_flight(store, [await new_session(store)])
    long = await new_session(store)
    for _ in range(length // 1_000):
        await store.apply(Write(tenant=TENANT, mutations=tuple(prompt(long) for _ in range(1_000))))
    found[f"AddPrompt into {length:,} prompts"] = await long_against_short(store, long)
    found[f"Query in {length:,} prompts"] = await pages(store, long)
    await store.close()
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--folder", type=Path, help="where the files go (default: a temporary folder)")
    arguments.add_argument("--session", type=int, default=100_000, help="prompts of the long session")
    given = arguments.parse_args()
    tune_gc()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        found = asyncio.run(run(Path(folder), given.session))
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
