"""Workers, brokers and stores that die or stand still in the middle of events: afterwards each event is in the graph
exactly once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from memory_graph.config import Settings
from memory_graph.worker.status import GroupStatus, group_status
from support.kafka_events import EDGES_EACH, event_id, plain, quick_records
from support.kafka_server import KafkaCluster
from support.kafka_topics import committed, new_topic, produce
from support.neo4j_server import PASSWORD, USERNAME, Neo4jServer, run_statement, wipe
from support.telemetry import metric
from support.worker import Stored, Work, WorkerProcess, until

LONG_S = 240.0
"""For what takes a fraction of it: the machine may be busy."""
_STATE = 'circuit_breaker_state{service="store"}'
_BUFFER = 'llm_memory_graph_buffer_utilization_percent{consumer_id="telemetry"}'


def status(bootstrap: str, group: str, topic: str) -> GroupStatus:
    """The group as its brokers see it."""
    settings = Settings(kafka_bootstrap_servers=bootstrap, kafka_group=group, kafka_topics={topic: topic})
    return group_status(settings)


def each_once(stored: Stored, count: int) -> None:
    assert len(stored.events) == count
    assert set(stored.events) == {plain(number) for number in range(count)}
    assert stored.edges == count * EDGES_EACH


@pytest.mark.xdist_group("kafka")
def test_a_worker_killed_twice_in_200_000_events(kafka: str, work: Work, group: str) -> None:
    count = 200_000
    topic = new_topic(kafka, partitions=12)
    produce(kafka, topic, quick_records(range(count)))
    for _ in range(2):
        killed = work(kafka, topic)
        until(lambda worker=killed: worker.processed() > 30_000, LONG_S)
        killed.kill()
    last = work(kafka, topic)
    until(lambda: sum(committed(kafka, group, topic).values()) == count, LONG_S)
    assert last.stop() == 0
    each_once(Stored(last.data), count)


@pytest.mark.xdist_group("kafka")
def test_sigterm_under_load_leaves_nothing_half_done(kafka: str, work: Work, group: str) -> None:
    topic = new_topic(kafka)
    produce(kafka, topic, quick_records(range(20_000)))
    worker = work(kafka, topic)
    until(lambda: worker.processed() > 1_000)
    assert worker.stop() == 0
    assert worker.log[-1]["message"] == "stopped"
    stored = len(Stored(worker.data).events)
    assert 1_000 < stored == sum(committed(kafka, group, topic).values())
    assert status(kafka, group, topic).members == 0


@pytest.mark.xdist_group("kafka")
def test_a_full_disk_pauses_a_worker_which_stays_in_the_group_and_catches_up(
    kafka: str, work: Work, group: str, small_disk: Path
) -> None:
    count = 8_000
    topic = large_topic(kafka, count)
    worker = work(kafka, topic, data=small_disk / "data", TELEMETRY_BUFFER_BYTES=64_000_000)
    until(lambda: bool(worker.logged("paused: there is no room for more")), LONG_S)
    until(lambda: metric(worker, _STATE) == 2)
    assert not worker.is_ready
    before = status(kafka, group, topic)
    assert (before.members, before.state) == (1, "stable")
    assert 0 < before.lag < count
    until(lambda: lag(worker, topic) == before.lag, why="the metric says what the brokers say")
    assert metric(worker, _BUFFER) <= 100
    (small_disk / "ballast").unlink()
    until(lambda: sum(committed(kafka, group, topic).values()) == count, LONG_S)
    until(lambda: lag(worker, topic) == 0)
    assert worker.is_ready
    assert len(worker.logged("partitions assigned")) == 1, "it never left the group"
    assert worker.stop() == 0
    stored = Stored(worker.data)
    assert (len(stored.events), len(set(stored.events))) == (count, count)


@pytest.mark.xdist_group("kafka")
def test_a_worker_told_to_stop_while_the_disk_is_full_says_goodbye_and_the_next_one_does_it_all(
    kafka: str, work: Work, group: str, small_disk: Path
) -> None:
    count = 8_000
    topic = large_topic(kafka, count)
    worker = work(kafka, topic, data=small_disk / "data")
    until(lambda: metric(worker, _STATE) == 2, LONG_S)
    assert worker.stop() == 0
    assert worker.logged("records are left to be read again")
    assert not worker.logged("the last offsets are not committed: their records are read again")
    assert status(kafka, group, topic).members == 0
    (small_disk / "ballast").unlink()
    after = work(kafka, topic, data=worker.data)
    until(lambda: sum(committed(kafka, group, topic).values()) == count, LONG_S)
    assert after.stop() == 0
    stored = Stored(worker.data)
    assert (len(stored.events), len(set(stored.events))) == (count, count)


def large_topic(kafka: str, count: int) -> str:
    """So many events of some 3 KB in two partitions."""
    topic = new_topic(kafka, partitions=2)
    large = b'"metadata": {"filling": "' + b"x" * 3_000 + b'", '
    produce(kafka, topic, ((k, body.replace(b'"metadata": {', large)) for k, body in quick_records(range(count))))
    return topic


def lag(worker: WorkerProcess, topic: str) -> float:
    return sum(
        metric(worker, f'llm_memory_graph_kafka_lag_messages{{partition="{n}",topic="{topic}"}}') for n in range(2)
    )


@pytest.mark.xdist_group("kafka-cluster")
def test_a_broker_of_three_killed_while_events_flow(kafka_cluster: KafkaCluster, work: Work, group: str) -> None:
    count = 20_000
    topic = new_topic(kafka_cluster.bootstrap, partitions=6, copies=3)
    worker = work(kafka_cluster.bootstrap, topic)
    producing = threading.Thread(
        target=produce, args=(kafka_cluster.bootstrap, topic, quick_records(range(count))), daemon=True
    )
    producing.start()
    until(lambda: worker.processed() > 500, LONG_S)
    kafka_cluster.brokers[0].kill()
    producing.join(LONG_S)
    assert not producing.is_alive()
    until(lambda: worker.processed() >= count, LONG_S)  # more where the group gave partitions anew meanwhile
    until(lambda: sum(committed(kafka_cluster.bootstrap, group, topic).values()) == count, LONG_S, worker.standing)
    each_once(Stored(worker.data), count)

    before = worker.processed()
    produce(kafka_cluster.bootstrap, topic, quick_records(range(count, count + 10_000)))
    until(lambda: worker.processed() > before, LONG_S)
    for broker in kafka_cluster.brokers[1:]:
        broker.kill()
    assert worker.stop() == 0, "it does not wait for brokers that are all away"
    assert worker.logged("the last offsets are not committed: their records are read again"), worker.standing()


@pytest.mark.xdist_group("neo4j")
def test_neo4j_killed_while_events_flow(kafka: str, neo4j_process: Neo4jServer, work: Work, group: str) -> None:
    wipe(neo4j_process.uri)
    count = 3_000
    topic = new_topic(kafka)
    produce(kafka, topic, quick_records(range(count)))
    worker = work(
        kafka, topic, STORE="neo4j", NEO4J_URI=neo4j_process.uri, NEO4J_USERNAME=USERNAME, NEO4J_PASSWORD=PASSWORD
    )
    until(lambda: worker.processed() > 500, LONG_S)
    neo4j_process.kill()
    until(lambda: metric(worker, _STATE) == 2)
    until(lambda: not worker.is_ready)
    assert status(kafka, group, topic).members == 1
    neo4j_process.start()
    until(lambda: sum(committed(kafka, group, topic).values()) == count, LONG_S)
    assert len(worker.logged("partitions assigned")) == 1
    assert worker.stop() == 0
    ((ids, nodes),) = run_statement(neo4j_process.uri, "MATCH (n:Invocation) RETURN collect(n.id), count(n)")
    assert nodes == count
    assert set(ids) == {event_id(number) for number in range(count)}
    ((edges,),) = run_statement(neo4j_process.uri, "MATCH (:Invocation)-[r]->() RETURN count(r)")
    assert edges == count * EDGES_EACH
