"""The change feed in a real Kafka: nothing that was acknowledged is missing from it, whatever dies."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from pathlib import Path

import grpc
import pytest
from confluent_kafka import KafkaException
from google.protobuf import json_format
from google.protobuf.empty_pb2 import Empty

from memory_graph.config import Settings
from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb
from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2_grpc as rpc
from memory_graph.kafka.producer import AckedProducer, ProducerRecord
from memory_graph.store.sqlite import open_store
from store.graphs import prompt, session, write
from support.kafka_topics import new_topic, read_all

pytestmark = pytest.mark.xdist_group("kafka")
_SCRIPT = Path(__file__).with_name("dying_publisher.py")


def events_in(bootstrap: str, topic: str) -> list[pb.Event]:
    """In the order of each partition."""
    return [json_format.Parse(message.value(), pb.Event()) for message in read_all(bootstrap, topic)]


def arrived(bootstrap: str, topic: str, event_ids: set[str]) -> list[pb.Event]:
    """Reads until all events with these ids are there."""
    while True:
        try:
            events = events_in(bootstrap, topic)
        except KafkaException:
            continue  # a topic that was just made, or whose broker was, has no leader yet
        if event_ids <= {event.id for event in events}:
            return events


def position(event_id: str) -> tuple[int, ...]:
    return tuple(int(part) for part in event_id.split("."))


def add_prompts(address: str, count: int) -> str:
    with grpc.insecure_channel(address) as channel:
        graph = rpc.MemoryGraphServiceStub(channel)
        opened = graph.CreateSession(pb.CreateSessionRequest())
        for i in range(count):
            graph.AddPrompt(pb.AddPromptRequest(session_id=opened.id, content=f"prompt {i}"))
        return opened.id


def feed_of(data: Path) -> list[str]:
    """The ids of all events that the store of a stopped server has committed."""

    async def read() -> list[str]:
        store = open_store(data / "memory-graph.db")
        batch = await store.commits(0, 1_000_000)
        await store.close()
        return [event.id for commit in batch.commits for event in commit.events]

    return asyncio.run(read())


def test_a_server_with_kafka_publishes_what_it_commits(serve, kafka, topic):
    server = serve(KAFKA_BOOTSTRAP_SERVERS=kafka, KAFKA_EVENTS_TOPIC=topic)
    session_id = add_prompts(server.address, 20)
    event_ids = {f"{seq}.0" for seq in range(1, 22)}
    arrived(kafka, topic, event_ids)
    assert server.stop() == 0
    messages = read_all(kafka, topic)
    events = [json_format.Parse(message.value(), pb.Event()) for message in messages]
    assert [event.id for event in events] == feed_of(server.data)  # one session: one partition, in commit order
    assert {message.key() for message in messages} == {session_id.encode()}
    assert dict(messages[0].headers())["tenant-id"] == b"default"


def test_a_server_that_is_started_again_publishes_nothing_twice(serve, kafka, topic):
    settings = {"KAFKA_BOOTSTRAP_SERVERS": kafka, "KAFKA_EVENTS_TOPIC": topic}
    server = serve(**settings)
    add_prompts(server.address, 3)
    arrived(kafka, topic, {"4.0"})
    assert server.stop() == 0
    again = serve(server.data, **settings)
    add_prompts(again.address, 3)
    arrived(kafka, topic, {"8.0"})
    assert again.stop() == 0
    assert Counter(event.id for event in events_in(kafka, topic)) == Counter(feed_of(server.data))


def test_killed_between_the_records_and_the_cursor_nothing_is_lost(kafka, topic, tmp_path, serve):
    path = tmp_path / "data" / "memory-graph.db"

    async def fill() -> None:
        store = open_store(path)
        opened = session()
        await store.apply(write(opened))
        for i in range(30):
            await store.apply(write(prompt(opened.node.id, str(i))))
        await store.close()

    asyncio.run(fill())
    died = subprocess.run([sys.executable, str(_SCRIPT), str(path), kafka, topic, "3"], timeout=60, check=False)
    assert died.returncode == -signal.SIGKILL
    before = [event.id for event in events_in(kafka, topic)]
    assert before
    server = serve(path.parent, KAFKA_BOOTSTRAP_SERVERS=kafka, KAFKA_EVENTS_TOPIC=topic)
    arrived(kafka, topic, {f"{seq}.0" for seq in range(1, 32)})
    assert server.stop() == 0
    events = events_in(kafka, topic)
    times = Counter(event.id for event in events)
    assert times.keys() == set(feed_of(path.parent))
    twice = [id for id, count in times.items() if count > 1]
    assert twice, "the batch under way when it died is written again"
    assert set(twice) <= set(before)
    once = list(dict.fromkeys(event.id for event in events))
    assert once == sorted(once, key=position)


def test_a_broker_that_is_away_is_waited_for_and_the_server_serves_on(serve, kafka_process):
    topic = new_topic(kafka_process.bootstrap)
    server = serve(KAFKA_BOOTSTRAP_SERVERS=kafka_process.bootstrap, KAFKA_EVENTS_TOPIC=topic)
    add_prompts(server.address, 3)
    arrived(kafka_process.bootstrap, topic, {"4.0"})
    (broker,) = kafka_process.brokers
    broker.kill()
    try:
        add_prompts(server.address, 10)
        with grpc.insecure_channel(server.address) as channel:
            health = rpc.MemoryGraphServiceStub(channel).Health(Empty())
        assert health.status == pb.HealthResponse.SERVING
    finally:
        kafka_process.start()
    add_prompts(server.address, 2)
    arrived(kafka_process.bootstrap, topic, {f"{seq}.0" for seq in range(1, 19)})
    assert server.stop() == 0
    assert Counter(event.id for event in events_in(kafka_process.bootstrap, topic)) == Counter(feed_of(server.data))


def test_a_server_stops_at_once_while_the_broker_is_away(serve):
    server = serve(KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    add_prompts(server.address, 3)
    assert server.stop() == 0


def test_a_topic_that_is_missing_is_said_and_waited_for(serve, kafka):
    name = f"later-{uuid.uuid4().hex[:12]}"
    server = serve(KAFKA_BOOTSTRAP_SERVERS=kafka, KAFKA_EVENTS_TOPIC=name)
    add_prompts(server.address, 1)
    while not [line for line in server.log if line["message"] == "the change feed waits"]:
        assert server.process.poll() is None
        time.sleep(0.05)
    new_topic(kafka, name)
    arrived(kafka, name, {"1.0", "2.0"})
    assert server.stop() == 0


async def test_events_of_one_key_are_where_java_would_put_them(kafka, topic, tmp_path):
    """Java's default partitioner: murmur2 of the key. The figures are those of Kafka's own test of it."""
    producer = AckedProducer(Settings(kafka_bootstrap_servers=kafka))
    hashes = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
    assert await producer.send([ProducerRecord(topic, key, b"") for key in hashes]) == {}
    await producer.close()
    partitions = {message.key(): message.partition() for message in read_all(kafka, topic)}
    assert partitions == {key: (hash & 0x7FFFFFFF) % 4 for key, hash in hashes.items()}
