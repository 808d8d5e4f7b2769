"""The embedded store by itself: writes against raw inserts of the same rows, and latencies as a session grows.

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
from memory_graph.store.protocol import GraphStore
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
    """Return the creation of an AddPrompt: a node with BELONGS_TO and FOLLOWS, an indexed attribute and its text."""
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


class RawInsertBaseline:
    """A file of the same schema, filled with `executemany` in one transaction per batch."""

    def __init__(self, path: Path) -> None:
        self._connection = open_writer(path)
        migrate(self._connection)
        self._statements = {
            table: f"INSERT INTO {table} VALUES ({', '.join('?' * width)})"
            for table, width in (("nodes", 11), ("edges", 10), ("attributes", 5), ("changes", 5))
        }

    def insert(self, rows: dict[str, list[tuple[Any, ...]]], texts: list[tuple[int, str, str]]) -> float:
        began = time.perf_counter()
        with self._connection:
            for table, statement in self._statements.items():
                self._connection.executemany(statement, rows[table])
            self._connection.executemany("INSERT INTO texts (rowid, scope, text) VALUES (?, ?, ?)", texts)
        return time.perf_counter() - began


async def batch_against_raw(store: SqliteStore, folder: Path, rounds: int = 12) -> dict[str, float]:
    """Measure writes of 1,000 nodes against raw inserts of the same rows. The first rounds warm both up."""
    raw = RawInsertBaseline(folder / "raw.db")
    reading = apsw.Connection(str(folder / "graph.db"), flags=apsw.SQLITE_OPEN_READONLY)
    session_id = await new_session(store)
    last_ids = {"nodes": 0, "edges": 0, "changes": 0}
    store_times, raw_times = [], []
    for _ in range(rounds):
        for table, key in (("nodes", "n"), ("edges", "e"), ("changes", "seq")):
            last_ids[table] = reading.execute(f"SELECT coalesce(max({key}), 0) FROM {table}").get
        creates = tuple(prompt(session_id) for _ in range(1_000))
        began = time.perf_counter()
        await store.apply(Write(tenant=TENANT, mutations=creates))
        store_times.append(time.perf_counter() - began)
        rows = {
            "nodes": reading.execute("SELECT * FROM nodes WHERE n > ?", (last_ids["nodes"],)).fetchall(),
            "edges": reading.execute("SELECT * FROM edges WHERE e > ?", (last_ids["edges"],)).fetchall(),
            "changes": reading.execute("SELECT * FROM changes WHERE seq > ?", (last_ids["changes"],)).fetchall(),
            "attributes": reading.execute("SELECT * FROM attributes WHERE n > ?", (last_ids["nodes"],)).fetchall(),
        }
        texts = [(row[0], "t1 s1", text(create.node.data)) for row, create in zip(rows["nodes"], creates, strict=True)]
        raw_times.append(raw.insert(rows, texts))
    store_s, raw_s = statistics.median(store_times[2:]), statistics.median(raw_times[2:])
    return {"nodes_per_s": 1_000 / store_s, "raw_nodes_per_s": 1_000 / raw_s, "ratio_to_raw": raw_s / store_s}


async def concurrent_writes(store: GraphStore, sessions: list[str], writes: int) -> list[float]:
    """Return the latency of each AddPrompt of 64 callers, each of whom waits until its call is durable."""
    latencies: list[float] = []

    async def caller(number: int) -> None:
        for turn in range(writes // IN_FLIGHT):
            create = prompt(sessions[(number + turn) % len(sessions)])
            began = time.perf_counter()
            await store.apply(Write(tenant=TENANT, mutations=(create,)))
            latencies.append(time.perf_counter() - began)

    await asyncio.gather(*map(caller, range(IN_FLIGHT)))
    return latencies


async def in_flight(store: SqliteStore, sessions: list[str], writes: int = 12_000) -> dict[str, float]:
    """Measure AddPrompt with 64 callers."""
    began, cpu = time.perf_counter(), time.process_time()
    latencies = await concurrent_writes(store, sessions, writes)
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    done = len(latencies)
    return {"writes_per_s": done / took, "cpu_us_per_write": cpu / done * 1e6, "p95_ms": p95(latencies) * 1e3}


async def long_against_short(store: SqliteStore, long: str, rounds: int = 1_500) -> dict[str, float]:
    """Measure AddPrompt, one at a time, into a long session and into new ones."""
    took: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(rounds):
        short = await new_session(store)
        for is_long in (True, False) if turn % 2 else (False, True):
            create = prompt(long if is_long else short)
            began = time.perf_counter()
            await store.apply(Write(tenant=TENANT, mutations=(create,)))
            took[is_long].append(time.perf_counter() - began)
    long_s, short_s = statistics.median(took[True]), statistics.median(took[False])
    return {"long_us": long_s * 1e6, "short_us": short_s * 1e6, "ratio_to_short": long_s / short_s}


async def pages(store: SqliteStore, long: str, reads: int = 400) -> dict[str, float]:
    """Measure Query with 100 nodes a page, near and far into the session, and point reads."""
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
    figures = {"batch of 1,000": await batch_against_raw(store, folder)}
    figures["AddPrompt, 64 in flight, 64 sessions"] = await in_flight(
        store, [await new_session(store) for _ in range(IN_FLIGHT)]
    )
    figures["AddPrompt, 64 in flight, 1 session"] = await in_flight(store, [await new_session(store)])
    long = await new_session(store)
    for _ in range(length // 1_000):
        await store.apply(Write(tenant=TENANT, mutations=tuple(prompt(long) for _ in range(1_000))))
    figures[f"AddPrompt into {length:,} prompts"] = await long_against_short(store, long)
    figures[f"Query in {length:,} prompts"] = await pages(store, long)
    await store.close()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, help="where the files go (default: a temporary folder)")
    parser.add_argument("--session", type=int, default=100_000, help="prompts of the long session")
    arguments = parser.parse_args()
    tune_gc()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        figures = asyncio.run(run(Path(folder), arguments.session))
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
