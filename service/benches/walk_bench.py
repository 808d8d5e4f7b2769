# ruff: noqa: E402 - the tests' server and the other bench's rows are found after their folders are
"""Walks over a large graph in each store: the same graph, built in the embedded store and moved to Neo4j.

    python service/benches/walk_bench.py [--nodes 1000000] [--uri bolt://…] [--folder DIR]

Without --uri it starts the server that the tests start. A session has ten turns of a prompt, its response and a tool
call, and prompts refer to earlier sessions.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "tests")]

from store_bench import TENANT, p95, prompt, session

from memory_graph.model.ids import new_id
from memory_graph.model.kinds import Direction, EdgeType, LineageDirection, NodeType
from memory_graph.model.mutations import CreateNode, Write
from memory_graph.model.nodes import Edge, Node, ResponseData, ToolInvocationData
from memory_graph.model.queries import LineageQuery, Traversal
from memory_graph.runtime.opening import tune_gc
from memory_graph.store import neo4j, sqlite
from memory_graph.store.migration.migrate import migrate_graph
from memory_graph.store.migration.source import MigrationSource
from memory_graph.store.migration.target import MigrationTarget
from memory_graph.store.neo4j.connection import Neo4jConnection
from memory_graph.store.protocol import GraphStore
from support.neo4j_server import PASSWORD, USERNAME, Neo4jServer, settings, wipe

TURNS_PER_SESSION = 10
BATCH = 1_000
WALKS = 300
PAGE = 5_000


def answer(prompt_id: str) -> CreateNode:
    id, now = new_id(), time.time_ns()
    data = ResponseData(prompt_id=prompt_id, content="The second one, because it keeps the old version beside the new.")
    return CreateNode(
        node=Node(id=id, type=NodeType.RESPONSE, data=data, created_at=now, updated_at=now),
        edges=(Edge(id=new_id(), type=EdgeType.RESPONDS_TO, from_id=id, to_id=prompt_id, created_at=now),),
        parent_id=prompt_id,
    )


def call(response_id: str) -> CreateNode:
    id, now = new_id(), time.time_ns()
    data = ToolInvocationData(response_id=response_id, tool_name="search", status="success")
    return CreateNode(
        node=Node(id=id, type=NodeType.TOOL_INVOCATION, data=data, created_at=now, updated_at=now),
        edges=(Edge(id=new_id(), type=EdgeType.INVOKES, from_id=response_id, to_id=id, created_at=now),),
        parent_id=response_id,
    )


def sessions(nodes: int, rng: random.Random, prompts: list[str]) -> Iterator[CreateNode]:
    """Yield the creations of about that many nodes; the ids of prompts are added to `prompts`."""
    for _ in range(nodes // (1 + 3 * TURNS_PER_SESSION)):
        opening = session()
        yield opening
        for _ in range(TURNS_PER_SESSION):
            creation = prompt(opening.node.id)
            if prompts and rng.random() < 0.3:
                refers = Edge(
                    id=new_id(), type=EdgeType.REFERENCES, from_id=creation.node.id, to_id=rng.choice(prompts),
                    created_at=creation.node.created_at,
                )  # fmt: skip
                edges = (*creation.edges, refers)
                creation = CreateNode(node=creation.node, edges=edges, follows_edge_id=creation.follows_edge_id)
            response = answer(creation.node.id)
            yield from (creation, response, call(response.node.id))
            prompts.append(creation.node.id)


async def build_graph(path: Path, nodes: int) -> tuple[list[str], dict[str, float]]:
    store, prompts, batch = sqlite.open_store(path), [], []  # type: ignore[var-annotated]
    began = time.perf_counter()
    for create in sessions(nodes, random.Random(1), prompts):
        batch.append(create)
        if len(batch) >= BATCH:
            await store.apply(Write(tenant=TENANT, mutations=tuple(batch)))
            batch.clear()
    await store.apply(Write(tenant=TENANT, mutations=tuple(batch)))
    took = time.perf_counter() - began
    stats = await store.stats(TENANT)
    await store.close()
    return prompts, {"nodes": stats.nodes, "edges": stats.edges, "nodes_per_s": stats.nodes / took}


async def measure_walks(store: GraphStore, prompts: list[str]) -> dict[str, float]:
    rng, walks, lines, path_count = random.Random(2), [], [], 0
    for _ in range(WALKS):
        start = rng.choice(prompts)
        began = time.perf_counter()
        async for _path in store.traverse(
            TENANT, Traversal(start=(start,), direction=Direction.BOTH, depth=3, limit=1_000)
        ):
            path_count += 1
        walks.append(time.perf_counter() - began)
        began = time.perf_counter()
        await store.lineage(TENANT, LineageQuery(node_id=start, direction=LineageDirection.BOTH))
        lines.append(time.perf_counter() - began)
    return {
        "depth_3_p50_ms": sorted(walks)[WALKS // 2] * 1e3, "depth_3_p95_ms": p95(walks) * 1e3,
        "paths_a_walk": path_count / WALKS, "lineage_p50_ms": sorted(lines)[WALKS // 2] * 1e3,
        "lineage_p95_ms": p95(lines) * 1e3,
    }  # fmt: skip


class _Silent:
    def begins(self, step: str, rows: int) -> None:
        print(f"{step}: {rows:,}", file=sys.stderr)

    def advance(self, rows: int) -> None: ...


async def migrate(path: Path, uri: str) -> dict[str, float]:
    target = MigrationTarget(
        Neo4jConnection(uri, username=USERNAME, password=PASSWORD, database="neo4j", max_connections=2)
    )
    began = time.perf_counter()
    with MigrationSource(path) as source:
        compared = await migrate_graph(source, target, _Silent(), page=PAGE)
    await target.close()
    assert all(comparison.same for comparison in compared)
    took = time.perf_counter() - began
    rows = sum(comparison.source.rows for comparison in compared)
    return {"rows": rows, "seconds": took, "rows_per_s": rows / took}


async def run(folder: Path, uri: str, nodes: int) -> dict[str, dict[str, float]]:
    path = folder / "graph.db"
    prompts, size = await build_graph(path, nodes)
    figures = {f"{nodes:,} nodes, embedded": size}
    store: GraphStore = sqlite.open_store(path)
    figures["walks, embedded"] = await measure_walks(store, prompts)
    await store.close()
    wipe(uri)
    figures["moved to Neo4j and compared"] = await migrate(path, uri)
    store = neo4j.open_store(**settings(uri))
    figures["walks, Neo4j"] = await measure_walks(store, prompts)
    await store.close()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, help="where the files go (default: a temporary folder)")
    parser.add_argument("--nodes", type=int, default=1_000_000, help="size of the graph (default: 1,000,000)")
    parser.add_argument("--uri", help="a running server, whose graph is deleted (default: one is started)")
    arguments = parser.parse_args()
    tune_gc()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        server = None
        if not arguments.uri:
            server = Neo4jServer(Path(folder) / "neo4j")
            server.start()
        try:
            uri = arguments.uri or server.uri  # type: ignore[union-attr]
            figures = asyncio.run(run(Path(folder), uri, arguments.nodes))
        finally:
            if server is not None:
                server.stop()
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
