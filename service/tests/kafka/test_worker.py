"""The worker with a real broker: events become the graph, once each, whatever the delivery does."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ingest.samples import body, message
from ingest.talks import prompt_body, response_body
from memory_graph.model.kinds import EdgeType
from memory_graph.store.sqlite import open_store
from support.kafka_events import EDGES_EACH, event_id, key, plain, quick_records, record
from support.kafka_topics import committed, new_topic, produce, read_all
from support.telemetry import metric
from support.worker import Stored, Work, links, until

pytestmark = pytest.mark.xdist_group("kafka")


def test_json_and_protobuf_become_nodes_and_offsets_are_committed(kafka: str, work: Work, group: str) -> None:
    topic = new_topic(kafka, partitions=3)
    produce(kafka, topic, [record(0)])
    produce(kafka, topic, [record(1)], headers={"content-type": b"application/json"})
    produce(
        kafka,
        topic,
        [(key(2), message(event_id(2), metadata={"session_id": "session-2"}).SerializeToString())],
        headers={"Content-Type": b"application/x-protobuf"},
    )
    worker = work(kafka, topic)
    until(lambda: worker.processed() == 3)
    assert worker.is_ready
    assert worker.stop() == 0
    assert sum(committed(kafka, group, topic).values()) == 3
    stored = Stored(worker.data)
    assert sorted(stored.events) == [plain(0), plain(1), plain(2)]
    assert stored.edges == 3 * EDGES_EACH


def test_what_comes_twice_and_out_of_order_is_stored_once(kafka: str, work: Work) -> None:
    topic = new_topic(kafka, partitions=4)
    numbers = [*range(500), *range(500), *range(250)]
    random.Random(3).shuffle(numbers)
    produce(kafka, topic, quick_records(numbers))
    worker = work(kafka, topic)
    until(lambda: worker.processed() + worker.processed(status="duplicate") == len(numbers))
    assert worker.processed() == 500
    assert worker.stop() == 0
    stored = Stored(worker.data)
    assert sorted(stored.events) == [plain(number) for number in range(500)]
    assert stored.edges == 500 * EDGES_EACH


def test_events_of_a_key_are_stored_in_the_order_they_came(kafka: str, work: Work) -> None:
    topic = new_topic(kafka, partitions=4)
    count = 3_000
    produce(kafka, topic, quick_records(range(count)))
    worker = work(kafka, topic)
    until(lambda: worker.processed() == count)
    assert worker.stop() == 0
    order = [int(id, 16) - int(plain(0), 16) for id in Stored(worker.data).events]
    for partition in {number % 200 for number in order}:
        of_key = [number for number in order if number % 200 == partition]
        assert of_key == sorted(of_key)


def test_prompts_of_a_session_follow_one_another_as_they_were_sent(kafka: str, work: Work) -> None:
    count, sessions = 1_500, 3
    topic = new_topic(kafka, partitions=2)
    template = prompt_body("EVENT", "SESSION")
    produce(
        kafka,
        topic,
        (
            (key(n % sessions), template.replace(b"EVENT", event_id(n).encode()).replace(b"SESSION", key(n % sessions)))
            for n in range(count)
        ),
    )
    worker = work(kafka, f"{topic}=llm.prompts.v1")
    until(lambda: worker.processed("llm.prompt") == count)
    assert worker.stop() == 0
    follows = {int(node, 16) - int(before, 16) for node, before in links(worker.data, EdgeType.FOLLOWS)}
    assert follows == {sessions}


def test_a_worker_goes_on_where_the_one_before_it_stopped(kafka: str, work: Work, group: str) -> None:
    topic = new_topic(kafka)
    produce(kafka, topic, quick_records(range(100)))
    first = work(kafka, topic)
    until(lambda: first.processed() == 100)
    assert first.stop() == 0
    produce(kafka, topic, quick_records(range(100, 160)))
    second = work(kafka, topic)
    until(lambda: second.processed() == 60)
    assert second.stop() == 0
    assert len(Stored(second.data).events) == 160
    assert sum(committed(kafka, group, topic).values()) == 160


def test_poison_goes_to_the_dead_letters_whole_and_the_rest_is_stored(kafka: str, work: Work, group: str) -> None:
    topic = new_topic(kafka, partitions=2)
    new_topic(kafka, f"{topic}-dlq", partitions=1)
    poison = [
        (b"a", b"{ no json"),
        (b"b", body("e-1", "llm.unknown")),
        (b"c", body("e-2", timestamp="yesterday")),
        (b"d", b""),
        (None, b"\x00" * 2000),
    ]
    good = list(quick_records(range(200)))
    produce(kafka, topic, [*good[:100], *poison, *good[100:]], headers={"x-trace": b"kept"})
    produce(kafka, topic, [(b"e", b"\x0f\xff")], headers={"content-type": b"application/x-protobuf"})
    produce(kafka, topic, [(b"f", record(900)[1])], headers={"tenant-id": b"\xff\n"})
    worker = work(kafka, topic)
    until(lambda: worker.processed() == 200)
    until(lambda: len(read_all(kafka, f"{topic}-dlq")) == len(poison) + 2)
    assert worker.stop() == 0
    assert sum(committed(kafka, group, topic).values()) == 200 + len(poison) + 2
    dead_letters = read_all(kafka, f"{topic}-dlq")
    assert sorted((dead_letter.key() or b"", dead_letter.value() or b"") for dead_letter in dead_letters) == sorted(
        [*((k or b"", v) for k, v in poison), (b"e", b"\x0f\xff"), (b"f", record(900)[1])]
    )
    origins = {(message.partition(), message.offset()): message.value() for message in read_all(kafka, topic)}
    for dead_letter in dead_letters:
        headers = dict(dead_letter.headers())
        position = int(headers["x-original-partition"]), int(headers["x-original-offset"])
        assert headers["x-original-topic"] == topic.encode()
        assert origins[position] == (dead_letter.value() or b"")
        assert headers["x-failure-reason"]
        assert headers["x-retry-count"] == b"0"
        if dead_letter.key() not in (b"e", b"f"):
            assert headers["x-trace"] == b"kept"
    assert len(Stored(worker.data).events) == 200


def test_a_dead_letter_without_a_topic_holds_its_partition_until_there_is_one(
    kafka: str, work: Work, group: str
) -> None:
    topic = new_topic(kafka, partitions=1)
    produce(kafka, topic, [record(0), (b"k", b"poison"), record(1)])
    worker = work(kafka, topic)
    until(lambda: bool(worker.logged("dead letter refused")))
    assert worker.processed() == 2, "the others are stored"
    assert committed(kafka, group, topic) == {}, "and read again, should this process end now"
    new_topic(kafka, f"{topic}-dlq", partitions=1)
    until(lambda: committed(kafka, group, topic) == {0: 3})
    assert [dead_letter.value() for dead_letter in read_all(kafka, f"{topic}-dlq")] == [b"poison"]
    assert worker.stop() == 0


def test_prompts_and_responses_of_two_topics_meet(kafka: str, work: Work) -> None:
    prompts, responses = new_topic(kafka), new_topic(kafka)
    produce(kafka, responses, [(b"s", response_body(f"r-{n}", f"p-{n}")) for n in range(20)])
    worker = work(kafka, f"{prompts}=llm.prompts.v1", f"{responses}=llm.responses.v1")
    until(lambda: worker.processed("llm.response", "waiting") == 20)
    produce(kafka, prompts, [(b"s", prompt_body(f"p-{n}")) for n in range(20)])
    until(lambda: worker.processed("llm.prompt") == 20)
    until(lambda: metric(worker, "llm_memory_graph_responses_waiting") == 0)
    assert worker.stop() == 0
    assert len(links(worker.data, EdgeType.RESPONDS_TO)) == 20


def test_the_header_names_the_tenant(kafka: str, work: Work) -> None:
    topic = new_topic(kafka, partitions=1)
    produce(kafka, topic, quick_records(range(10)))
    produce(kafka, topic, quick_records(range(5)), headers={"tenant-id": b"acme"})
    worker = work(kafka, topic)
    until(lambda: worker.processed() == 15)
    assert worker.stop() == 0
    assert len(Stored(worker.data).events) == 15, "the same ids, in two tenants"


async def test_an_event_that_names_no_trace_gets_that_of_its_record(kafka: str, work: Work) -> None:
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    topic = new_topic(kafka, partitions=1)
    headers = {"traceparent": f"00-{trace}-{span}-01".encode()}
    produce(kafka, topic, [(b"k", body(event_id(0), trace_id=None, span_id=None))], headers=headers)
    produce(kafka, topic, [(b"k", body(event_id(1), trace_id="its own"))], headers=headers)
    produce(kafka, topic, [(b"k", body(event_id(2), trace_id=None))], headers={"traceparent": b"00-xyz"})
    worker = work(kafka, topic)
    until(lambda: worker.processed() == 3)
    assert worker.stop() == 0
    store = open_store(worker.data / "memory-graph.db")
    nodes = await store.get_nodes("default", [event_id(number) for number in range(3)])
    await store.close()
    assert [node.data.metadata.get("trace_id") for node in nodes] == [trace, "its own", None]
    assert nodes[0].data.metadata["span_id"] == span


def test_a_worker_refuses_a_store_that_another_process_has(kafka: str, work: Work, tmp_path: Path) -> None:
    topic = new_topic(kafka)
    first = work(kafka, topic)
    second = work(kafka, topic, data=first.data, ready=False)
    assert second.wait() == 1
    assert "is in use by another process" in second.output[-1]
    assert first.stop() == 0
