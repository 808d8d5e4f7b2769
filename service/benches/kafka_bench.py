# ruff: noqa: E402 - the tests' servers and the other benches are found after their folders are
"""The Kafka worker: durable events/s into each store, beside a consumer that ignores its records and beside the same
rows written without a worker.

    python service/benches/kafka_bench.py [--events 60000] [--stores embedded,neo4j] [--clients]

One broker, one worker and the bench share the machine. A rate is counted from the first scrape that shows
events to the one that shows all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from neo4j import GraphDatabase, ManagedTransaction

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "tests")]

from neo4j_bench import PLAIN
from stream_bench import rewrite_rows

from memory_graph.config import Settings
from memory_graph.ingest.planning import plan_write
from memory_graph.ingest.topics import DECODERS, TELEMETRY
from memory_graph.kafka.settings import consumer_settings
from memory_graph.model.errors import StoreUnavailable
from memory_graph.model.ids import new_id
from memory_graph.runtime.opening import tune_gc
from memory_graph.store.codec import PlainCodec
from memory_graph.store.neo4j import open_store
from memory_graph.store.neo4j.rows import Neo4jRows
from support.kafka_events import quick_records
from support.kafka_server import KafkaCluster
from support.kafka_topics import new_topic, produce
from support.neo4j_server import PASSWORD, USERNAME, Neo4jServer, settings, wipe
from support.worker import WorkerProcess

PARTITIONS = 12
BATCH_SIZE = 500
EVENTS_PER_COMMIT = 500
LIMIT_S = 900
"""No run may take longer."""
_SCRAPE_S = 0.25


def client(bootstrap: str, topic: str) -> Settings:
    return Settings(
        kafka_bootstrap_servers=bootstrap, kafka_group=f"bench-{uuid.uuid4().hex}", kafka_topics={topic: topic}
    )


def bare_consumer(bootstrap: str, topic: str, events: int) -> dict[str, float]:
    """Measure a consumer that reads batches of 500 and commits their offsets, as the worker does, and nothing else."""
    consumer = Consumer(consumer_settings(client(bootstrap, topic)))
    consumer.subscribe([topic])
    seen = 0
    began = cpu = 0.0
    while seen < events:
        first = consumer.poll(0.2)
        if first is None:
            continue
        if not began:
            began, cpu = time.perf_counter(), time.process_time()
        batch = [first, *consumer.consume(BATCH_SIZE - 1, 0)]
        next_offsets = {}
        for message in batch:
            assert message.error() is None, message.error()
            message.value()
            next_offsets[message.topic(), message.partition()] = message.offset() + 1
        consumer.commit(
            offsets=[TopicPartition(*partition, offset) for partition, offset in next_offsets.items()],
            asynchronous=True,
        )
        seen += len(batch)
    took, busy = time.perf_counter() - began, time.process_time() - cpu
    consumer.close()
    return {"events_per_s": seen / took, "cpu_us_an_event": 1e6 * busy / seen}


def kafka_python(bootstrap: str, topic: str, events: int) -> dict[str, float]:
    """Measure the same with kafka-python."""
    from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor  # noqa: PLC0415
    from kafka.structs import OffsetAndMetadata  # noqa: PLC0415

    from kafka import KafkaConsumer  # noqa: PLC0415 - only to compare with

    consumer = KafkaConsumer(
        topic, bootstrap_servers=bootstrap.split(","), group_id=uuid.uuid4().hex, enable_auto_commit=False,
        auto_offset_reset="earliest", max_poll_records=BATCH_SIZE,
        partition_assignment_strategy=[CooperativeStickyAssignor],
    )  # fmt: skip
    seen = 0
    began = cpu = 0.0
    while seen < events:
        batch = consumer.poll(timeout_ms=200, max_records=BATCH_SIZE)
        if batch and not began:
            began, cpu = time.perf_counter(), time.process_time()
        next_offsets = {}
        for partition, messages in batch.items():
            for message in messages:
                assert message.value
            next_offsets[partition] = OffsetAndMetadata(messages[-1].offset + 1, "", -1)
            seen += len(messages)
        if next_offsets:
            consumer.commit_async(next_offsets)
    took, busy = time.perf_counter() - began, time.process_time() - cpu
    consumer.close()
    return {"events_per_s": seen / took, "cpu_us_an_event": 1e6 * busy / seen}


def measure_worker(bootstrap: str, topic: str, folder: Path, events: int, **store: str) -> dict[str, float]:
    """Measure a worker over all events of a topic."""
    worker = WorkerProcess(
        folder,
        {
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "KAFKA_TOPICS": f"{topic}={TELEMETRY}",
            "KAFKA_GROUP": f"bench-{uuid.uuid4().hex}",
            "KAFKA_EVENTS_TOPIC": "",
            **store,
        },
    ).wait_ready()
    assert isinstance(worker, WorkerProcess)
    try:
        deadline = time.perf_counter() + LIMIT_S
        while not (before := worker.processed()):
            time.sleep(_SCRAPE_S)
        began, cpu = time.perf_counter(), _cpu_s(worker.process.pid)
        while (now := worker.processed()) < events:
            assert time.perf_counter() < deadline, f"{now:,.0f} of {events:,} events after {LIMIT_S} s"
            time.sleep(_SCRAPE_S)
        took, busy = time.perf_counter() - began, _cpu_s(worker.process.pid) - cpu
        resident = int(Path(f"/proc/{worker.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    finally:
        code = worker.stop()
    assert code == 0, worker.output[-1]
    done = events - before
    return {"events_per_s": done / took, "cpu_us_an_event": 1e6 * busy / done, "resident_mib": resident / (1 << 20)}


def _cpu_s(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def write_plain_batches(uri: str, events: int) -> float:
    """Return the events/s of UNWIND batches of the plain driver with the same nodes and relationships, built before."""
    decode = DECODERS[TELEMETRY]
    rows = Neo4jRows(PlainCodec())
    batches = []
    records = list(quick_records(range(events)))
    node_ids: set[str] = set()
    n = time.time_ns()
    for begin in range(0, events, EVENTS_PER_COMMIT):
        decoded = [event for _, body in records[begin : begin + EVENTS_PER_COMMIT] for event in decode(body, "")]
        creations = [creation for creation in plan_write(decoded, new_id).creations if creation.node.id not in node_ids]
        node_ids.update(creation.node.id for creation in creations)
        nodes = []
        edges: dict[str, list[Any]] = {}
        for creation in creations:
            n += 1 + len(creation.edges)
            nodes.append({"p": rows.new_node("plain", creation.node, n)})
            for position, edge in enumerate(creation.edges, 1):
                row = {"a": edge.from_id, "b": edge.to_id, "p": rows.new_edge("plain", edge, n + position)}
                edges.setdefault(edge.type.name, []).append(row)
        batches.append((nodes, edges))
    insert_nodes, insert_edges = PLAIN["merge"]

    def write(tx: ManagedTransaction, nodes: list[Any], edges: dict[str, list[Any]]) -> None:
        tx.run(insert_nodes, rows=nodes).consume()
        for kind, some in edges.items():
            tx.run(insert_edges.replace("TYPE", kind), rows=some).consume()

    with GraphDatabase.driver(uri, auth=(USERNAME, PASSWORD)) as driver, driver.session(database="neo4j") as session:
        began = time.perf_counter()
        for nodes, edges in batches:
            session.execute_write(write, nodes, edges)
        return events / (time.perf_counter() - began)


@contextmanager
def database(folder: Path) -> Iterator[str]:
    """A Neo4j with our schema, warmed up by the statements of both sides."""
    server = Neo4jServer(folder)
    server.start()
    try:
        asyncio.run(_make_schema(server.uri))
        write_plain_batches(server.uri, 5_000)
        yield server.uri
    finally:
        server.stop()


async def _make_schema(uri: str) -> None:
    store = open_store(**settings(uri))
    ready = False
    while not ready:
        try:
            await store.ping()
            ready = True
        except StoreUnavailable:
            await asyncio.sleep(_SCRAPE_S)
    await store.close()


def run(events: int, stores: list[str], *, clients: bool) -> dict[str, dict[str, float]]:
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cluster = KafkaCluster(folder / "kafka")
        cluster.start()
        try:
            topic = new_topic(cluster.bootstrap, partitions=PARTITIONS)
            produce(cluster.bootstrap, topic, quick_records(range(events)))
            nothing = run_in_process("bare", cluster.bootstrap, topic, events)
            figures["a consumer that does nothing"] = nothing
            if clients:
                figures["the same with kafka-python"] = run_in_process("kafka_python", cluster.bootstrap, topic, events)
            if "embedded" in stores:
                ours = measure_worker(cluster.bootstrap, topic, folder / "data", events)
                rows = rewrite_rows(folder / "data" / "memory-graph.db", folder)
                figures["worker into the embedded store"] = _beside(ours, nothing, rows)
            if "neo4j" in stores:
                figures["worker into Neo4j"] = into_neo4j(cluster.bootstrap, topic, folder, events, nothing)
        finally:
            cluster.stop()
    return figures


def into_neo4j(bootstrap: str, topic: str, folder: Path, events: int, nothing: dict[str, float]) -> dict[str, float]:
    """Measure a worker between two runs of plain batches, each into an empty database: it warms up."""
    with database(folder / "neo4j") as uri:
        sides = []
        wipe(uri)
        sides.append(write_plain_batches(uri, events))
        wipe(uri)
        ours = measure_worker(
            bootstrap, topic, folder / "none", events, STORE="neo4j", NEO4J_URI=uri, NEO4J_USERNAME=USERNAME,
            NEO4J_PASSWORD=PASSWORD,
        )  # fmt: skip
        wipe(uri)
        sides.append(write_plain_batches(uri, events))
    return _beside(ours, nothing, sum(sides) / len(sides))


def _beside(ours: dict[str, float], nothing: dict[str, float], rows: float) -> dict[str, float]:
    return {
        **ours,
        "raw_rows_events_per_s": rows,
        "ratio_to_raw_rows": ours["events_per_s"] / rows,
        "ratio_to_a_bare_consumer": ours["events_per_s"] / nothing["events_per_s"],
    }


def run_in_process(side: str, bootstrap: str, topic: str, events: int) -> dict[str, float]:
    """Run a side in a process of its own: a client library leaves threads behind."""
    command = [sys.executable, __file__, "--side", side, bootstrap, topic, "--events", str(events)]
    figures: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--events", type=int, default=60_000, help="events in the topic (default: 60000)")
    parser.add_argument("--stores", default="embedded,neo4j", help="default: embedded,neo4j")
    parser.add_argument("--clients", action="store_true", help="kafka-python too, beside confluent-kafka")
    parser.add_argument("--side", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    tune_gc()
    if arguments.side:
        side, bootstrap, topic = arguments.side
        print(
            json.dumps({"bare": bare_consumer, "kafka_python": kafka_python}[side](bootstrap, topic, arguments.events))
        )
        return
    print(json.dumps(run(arguments.events, arguments.stores.split(","), clients=arguments.clients), indent=2))


if __name__ == "__main__":
    main()
