# ruff: noqa: E402 - the tests' server and the other bench's rows are found after their folders are
"""The Neo4j store by itself: writes against the same rows in UNWIND batches of the plain driver, and reads.

    python service/benches/neo4j_bench.py [--uri bolt://…] [--rounds 12]

Without --uri it starts the server that the tests start. The two sides of a ratio are measured in turn in one run, so
that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from neo4j import AsyncDriver, AsyncGraphDatabase, AsyncManagedTransaction

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "tests")]

from store_bench import TENANT, concurrent_writes, new_session, p95, prompt, session

from memory_graph.model.kinds import Direction, EdgeType, NodeType
from memory_graph.model.mutations import CreateNode, Write
from memory_graph.model.nodes import Edge
from memory_graph.model.queries import NodeFilter, Traversal
from memory_graph.runtime.opening import tune_gc
from memory_graph.store.codec import PlainCodec
from memory_graph.store.neo4j import Neo4jStore, open_store
from memory_graph.store.neo4j.rows import Neo4jRows
from support.neo4j_server import PASSWORD, USERNAME, Neo4jServer, settings, wipe

BATCH = 1_000
SESSIONS = 20
_AT = "datetime({epochSeconds: 0}) + duration({nanoseconds: row.p.created_ns})"
_ENDS = """MATCH (a:Node {tenant: row.p.tenant, id: row.a}) MATCH (b:Node {tenant: row.p.tenant, id: row.b})"""
_MERGE_NODE = "MERGE (n:Node {tenant: row.p.tenant, id: row.p.id}) ON CREATE SET n:Prompt, n += row.p"
_MERGE_EDGE = "MERGE (a)-[r:TYPE {tenant: row.p.tenant, id: row.p.id}]->(b) ON CREATE SET r += row.p"
PLAIN = {
    "create": (
        f"UNWIND $rows AS row CREATE (n:Node:Prompt) SET n = row.p, n.created_at = {_AT}",
        f"UNWIND $rows AS row {_ENDS} CREATE (a)-[r:TYPE]->(b) SET r = row.p, r.created_at = {_AT}",
    ),
    "merge": (
        f"UNWIND $rows AS row {_MERGE_NODE}, n.created_at = {_AT}",
        f"UNWIND $rows AS row {_ENDS} {_MERGE_EDGE}, r.created_at = {_AT}",
    ),
}
"""The statements of the plain driver for nodes and for edges: CREATE, and MERGE, which a repeat does not change."""


class PlainDriverBaseline:
    """Batches of the same nodes and relationships by the plain driver, prepared before they are timed."""

    def __init__(self, driver: AsyncDriver, kind: str) -> None:
        self._driver = driver
        self._tenant = kind
        self._statements = PLAIN[kind]
        self.session_ids: list[str] = []
        self._rows = Neo4jRows(PlainCodec())
        self._last: dict[str, str] = {}
        self._n = time.time_ns()

    def prepare(self, creates: list[CreateNode]) -> tuple[list[Any], dict[EdgeType, list[Any]]]:
        nodes = []
        edges: dict[EdgeType, list[Any]] = {EdgeType.BELONGS_TO: [], EdgeType.FOLLOWS: []}
        for create in creates:
            self._n += 3
            node, session_id = create.node, str(create.node.session_id)
            nodes.append({"p": self._rows.new_node(self._tenant, node, self._n)})
            edges[EdgeType.BELONGS_TO].append(self._edge(create.edges[0], self._n + 1))
            if session_id in self._last:
                follows = Edge(
                    id=str(create.follows_edge_id), type=EdgeType.FOLLOWS, from_id=node.id,
                    to_id=self._last[session_id], created_at=node.created_at,
                )  # fmt: skip
                edges[EdgeType.FOLLOWS].append(self._edge(follows, self._n + 2))
            self._last[session_id] = node.id
        return nodes, edges

    def _edge(self, edge: Edge, n: int) -> dict[str, Any]:
        return {"a": edge.from_id, "b": edge.to_id, "p": self._rows.new_edge(self._tenant, edge, n)}

    async def open_sessions(self) -> None:
        creates = [session() for _ in range(SESSIONS)]
        self.session_ids = [create.node.id for create in creates]
        rows = [self._rows.new_node(self._tenant, create.node, self._n) for create in creates]
        await self._driver.execute_query("UNWIND $rows AS row CREATE (n:Node:Session) SET n = row", rows=rows)

    async def insert(self, nodes: list[Any], edges: dict[EdgeType, list[Any]]) -> float:
        async def work(tx: AsyncManagedTransaction) -> None:
            await (await tx.run(self._statements[0], rows=nodes)).consume()
            for type, rows in edges.items():
                if rows:
                    await (await tx.run(self._statements[1].replace("TYPE", type.name), rows=rows)).consume()

        began = time.perf_counter()
        async with self._driver.session(database="neo4j") as opened:
            await opened.execute_write(work)
        return time.perf_counter() - began


async def batch_against_raw(
    store: Neo4jStore, baselines: dict[str, PlainDriverBaseline], session_ids: list[str], rounds: int
) -> dict[str, float]:
    """Measure writes of 1,000 prompts with two edges each, in 20 sessions. The first rounds warm all up."""
    took: dict[str, list[float]] = {"ours": [], **{kind: [] for kind in baselines}}
    for turn in range(rounds + 4):
        creates = tuple(prompt(session_ids[i % SESSIONS]) for i in range(BATCH))
        ready = {
            kind: baseline.prepare([prompt(baseline.session_ids[i % SESSIONS]) for i in range(BATCH)])
            for kind, baseline in baselines.items()
        }
        sides = list(took)
        for side in sides[turn % 3 :] + sides[: turn % 3]:
            if side != "ours":
                took[side].append(await baselines[side].insert(*ready[side]))
                continue
            began = time.perf_counter()
            await store.apply(Write(tenant=TENANT, mutations=creates))
            took[side].append(time.perf_counter() - began)
    median = {side: statistics.median(times[4:]) for side, times in took.items()}
    return {
        "nodes_per_s": BATCH / median["ours"],
        **{f"plain_{kind}_nodes_per_s": BATCH / median[kind] for kind in baselines},
        **{f"ratio_to_plain_{kind}": median[kind] / median["ours"] for kind in baselines},
    }


async def in_flight(store: Neo4jStore, sessions: list[str], writes: int = 6_400) -> dict[str, float]:
    """Measure AddPrompt with 64 callers, each call durable before the next."""
    began = time.perf_counter()
    latencies = await concurrent_writes(store, sessions, writes)
    return {"writes_per_s": len(latencies) / (time.perf_counter() - began), "p95_ms": p95(latencies) * 1e3}


async def reads(store: Neo4jStore, sessions: list[str], rounds: int = 300) -> dict[str, float]:
    """Measure reads, one at a time: a node by id, a page of 100 of a session, paths of three edges."""
    took: dict[str, list[float]] = {"node_p95_ms": [], "page_p95_ms": [], "walk_p95_ms": []}
    condition = NodeFilter(session_id=sessions[0], type=NodeType.PROMPT)
    page = await store.query(TENANT, condition, 100, 0)
    for turn in range(rounds):
        id = page.nodes[turn % 100].id
        began = time.perf_counter()
        await store.get_nodes(TENANT, [id])
        took["node_p95_ms"].append(time.perf_counter() - began)
        began = time.perf_counter()
        await store.query(TENANT, condition, 100, turn)
        took["page_p95_ms"].append(time.perf_counter() - began)
        began = time.perf_counter()
        walk = Traversal(start=(id,), edge_types=frozenset({EdgeType.FOLLOWS}), direction=Direction.BOTH, depth=3)
        assert [path async for path in store.traverse(TENANT, walk)]
        took["walk_p95_ms"].append(time.perf_counter() - began)
    return {name: p95(values[rounds // 5 :]) * 1e3 for name, values in took.items()}


async def run(uri: str, rounds: int) -> dict[str, dict[str, float]]:
    store = open_store(**settings(uri))
    async with AsyncGraphDatabase.driver(uri, auth=(USERNAME, PASSWORD)) as driver:
        baselines = {kind: PlainDriverBaseline(driver, kind) for kind in PLAIN}
        session_ids = [await new_session(store) for _ in range(SESSIONS)]
        for baseline in baselines.values():
            await baseline.open_sessions()
        figures = {
            f"writes of {BATCH:,} prompts": await batch_against_raw(store, baselines, session_ids, rounds),
            "AddPrompt, 64 in flight": await in_flight(store, session_ids),
            "reads": await reads(store, session_ids),
        }
    await store.close()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--uri", help="a running server of the tests' password, which is emptied")
    parser.add_argument("--rounds", type=int, default=12, help="measured batches a side (default: 12)")
    arguments = parser.parse_args()
    tune_gc()
    if arguments.uri:
        wipe(arguments.uri)
        print(json.dumps(asyncio.run(run(arguments.uri, arguments.rounds)), indent=2))
        return
    with tempfile.TemporaryDirectory() as folder:
        server = Neo4jServer(Path(folder))
        server.start()
        try:
            print(json.dumps(asyncio.run(run(server.uri, arguments.rounds)), indent=2))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
