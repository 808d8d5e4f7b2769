# ruff: noqa: E402 - the tests' servers and the other benches are found after their folders are
"""The Kafka worker: durable events/s into each store, beside a consumer that does nothing with what it reads and beside
the same rows written without a worker.

    python service/benches/kafka_bench.py [--events 60000] [--stores embedded,neo4j] [--clients]

One broker, one worker, and whoever measures share the machine. A rate is counted from the first scrape that shows
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
from stream_bench import raw

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
TAKE = 500
EVENTS_A_COMMIT = 500
LIMIT_S = 900
"""No run may take longer."""
_SCRAPE_S = 0.25


def client(bootstrap: str, topic: str) -> Settings:
    return Settings(
        kafka_bootstrap_servers=bootstrap, kafka_group=f"bench-{uuid.uuid4().hex}", kafka_topics={topic: topic}
    )


def bare(bootstrap: str, topic: str, events: int) -> dict[str, float]:
    """Takes of 500, the offsets of each committed, as the worker does it; nothing else."""
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
        taken = [first, *consumer.consume(TAKE - 1, 0)]
        following = {}
        for message in taken:
            assert message.error() is None, message.error()
            message.value()
            following[message.topic(), message.partition()] = message.offset() + 1
        consumer.commit(
            offsets=[TopicPartition(*place, offset) for place, offset in following.items()], asynchronous=True
        )
        seen += len(taken)
    took, busy = time.perf_counter() - began, time.process_time() - cpu
    consumer.close()
    return {"events_per_s": seen / took, "cpu_us_an_event": 1e6 * busy / seen}


def kafka_python(bootstrap: str, topic: str, events: int) -> dict[str, float]:
    """The same with kafka-python."""
    from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor  # noqa: PLC0415
    from kafka.structs import OffsetAndMetadata  # noqa: PLC0415

    from kafka import KafkaConsumer  # noqa: PLC0415 - only to compare with

    consumer = KafkaConsumer(
        topic, bootstrap_servers=bootstrap.split(","), group_id=uuid.uuid4().hex, enable_auto_commit=False,
        auto_offset_reset="earliest", max_poll_records=TAKE,
        partition_assignment_strategy=[CooperativeStickyAssignor],
    )  # fmt: skip
    seen = 0
    began = cpu = 0.0
    while seen < events:
        taken = consumer.poll(timeout_ms=200, max_records=TAKE)
        if taken and not began:
            began, cpu = time.perf_counter(), time.process_time()
        following = {}
        for place, messages in taken.items():
            for message in messages:
                assert message.value
            following[place] = OffsetAndMetadata(messages[-1].offset + 1, "", -1)
            seen += len(messages)
        if following:
            consumer.commit_async(following)
    took, busy = time.perf_counter() - began, time.process_time() - cpu
    consumer.close()
    return {"events_per_s": seen / took, "cpu_us_an_event": 1e6 * busy / seen}


def worked(bootstrap: str, topic: str, folder: Path, events: int, **store: str) -> dict[str, float]:
    """One worker, from nothing to all."""
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
        limit = time.perf_counter() + LIMIT_S
        while not (before := worker.processed()):
            time.sleep(_SCRAPE_S)
        began, cpu = time.perf_counter(), _cpu_s(worker.process.pid)
        while (now := worker.processed()) < events:
            assert time.perf_counter() < limit, f"{now:,.0f} of {events:,} events after {LIMIT_S} s"
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


def unwound(uri: str, events: int) -> float:
    """Events/s of their nodes and relationships in UNWIND batches of the plain driver, made ready before."""
    decode = DECODERS[TELEMETRY]
    rows = Neo4jRows(PlainCodec())
    batches = []
    numbers = list(quick_records(range(events)))
    made: set[str] = set()
    n = time.time_ns()
    for begin in range(0, events, EVENTS_A_COMMIT):
        found = [event for _, body in numbers[begin : begin + EVENTS_A_COMMIT] for event in decode(body, "")]
        creations = [each for each in plan_write(found, new_id).creations if each.node.id not in made]
        made.update(each.node.id for each in creations)
        nodes = []
        edges: dict[str, list[Any]] = {}
        for each in creations:
            n += 1 + len(each.edges)
            nodes.append({"p": rows.new_node("plain", each.node, n)})
            for place, edge in enumerate(each.edges, 1):
                row = {"a": edge.from_id, "b": edge.to_id, "p": rows.new_edge("plain", edge, n + place)}
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
    """A Neo4j with our schema, warmed up by both sides' statements."""
    server = Neo4jServer(folder)
    server.start()
    try:
        asyncio.run(_make_schema(server.uri))
        unwound(server.uri, 5_000)
        yield server.uri
    finally:
        server.stop()


async def _make_schema(uri: str) -> None:
    store = open_store(**settings(uri))
    made = False
    while not made:
        try:
            await store.ping()
            made = True
        except StoreUnavailable:
            await asyncio.sleep(_SCRAPE_S)
    await store.close()


def run(events: int, stores: list[str], *, clients: bool) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cluster = KafkaCluster(folder / "kafka")
        cluster.start()
        try:
            topic = new_topic(cluster.bootstrap, partitions=PARTITIONS)
            produce(cluster.bootstrap, topic, quick_records(range(events)))
            nothing = apart("bare", cluster.bootstrap, topic, events)
            found["a consumer that does nothing"] = nothing
            if clients:
                found["the same with kafka-python"] = apart("kafka_python", cluster.bootstrap, topic, events)
            if "embedded" in stores:
                ours = worked(cluster.bootstrap, topic, folder / "data", events)
                rows = raw(folder / "data" / "memory-graph.db", folder)
                found["worker into the embedded store"] = _beside(ours, nothing, rows)
            if "neo4j" in stores:
                found["worker into Neo4j"] = into_neo4j(cluster.bootstrap, topic, folder, events, nothing)
        finally:
            cluster.stop()
    return found


def into_neo4j(bootstrap: str, topic: str, folder: Path, events: int, nothing: dict[str, float]) -> dict[str, float]:
    """The plain batches are written before and after the worker's, each into an empty database: it warms up."""
    with database(folder / "neo4j") as uri:
        sides = []
        wipe(uri)
        sides.append(unwound(uri, events))
        wipe(uri)
        ours = worked(
            bootstrap, topic, folder / "none", events, STORE="neo4j", NEO4J_URI=uri, NEO4J_USERNAME=USERNAME,
            NEO4J_PASSWORD=PASSWORD,
        )  # fmt: skip
        wipe(uri)
        sides.append(unwound(uri, events))
    return _beside(ours, nothing, sum(sides) / len(sides))


def _beside(ours: dict[str, float], nothing: dict[str, float], rows: float) -> dict[str, float]:
    return {
        **ours,
        "raw_rows_events_per_s": rows,
        "ratio_to_raw_rows": ours["events_per_s"] / rows,
        "ratio_to_a_bare_consumer": ours["events_per_s"] / nothing["events_per_s"],
    }


def apart(side: str, bootstrap: str, topic: str, events: int) -> dict[str, float]:
    """In a process of its own: a client library leaves threads behind."""
    command = [sys.executable, __file__, "--side", side, bootstrap, topic, "--events", str(events)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    arguments.add_argument("--events", type=int, default=60_000, help="events in the topic (default: 60000)")
    arguments.add_argument("--stores", default="embedded,neo4j", help="default: embedded,neo4j")
    arguments.add_argument("--clients", action="store_true", help="kafka-python too, beside confluent-kafka")
    arguments.add_argument("--side", nargs=3, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    tune_gc()
    if given.side:
        side, bootstrap, topic = given.side
        print(json.dumps({"bare": bare, "kafka_python": kafka_python}[side](bootstrap, topic, given.events)))
        return
    print(json.dumps(run(given.events, given.stores.split(","), clients=given.clients), indent=2))


if __name__ == "__main__":
    main()
