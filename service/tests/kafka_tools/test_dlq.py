"""`memory-graph dlq`: what waits is listed, shown and sent back, and what was sent back waits no more."""

from __future__ import annotations

import asyncio
import re

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from ingest.samples import body
from memory_graph.kafka import redrive
from memory_graph.kafka.dead_letters import DeadLetterQueue, RejectedRecord
from memory_graph.kafka.producer import AckedProducer
from support.kafka_events import event_id, key
from support.kafka_topics import committed, produce, read_all
from support.worker import Stored, until

pytestmark = pytest.mark.xdist_group("kafka")


def give_up(settings, topic: str, *reasons: str, **fields) -> None:
    """A letter for each reason."""
    records = [
        RejectedRecord(
            **{
                "topic": topic,
                "partition": index % 4,
                "offset": index,
                "key": b"key-%d" % index,
                "body": b'{"event_id": "e-%d"}' % index,
                "headers": (("traceparent", b"00-aa"),),
                "reason": reason,
                "sentence": f"letter {index}",
                **fields,
            }
        )
        for index, reason in enumerate(reasons)
    ]

    async def send() -> None:
        async with DeadLetterQueue(settings) as queue:
            await queue.send(records)

    asyncio.run(send())


def listed(cli, *options: str) -> dict[str, dict]:
    """By what their sentence says."""
    return {
        dead_letter["failure"].partition(": ")[2]: dead_letter
        for dead_letter in cli("dlq", "list", "--json", *options).json["letters"]
    }


def test_what_waits_is_listed_newest_first_with_its_reason(cli, settings, topic):
    give_up(settings, topic, "invalid", "unknown_type", "invalid")
    give_up(settings, topic, "refused")
    ended = cli("dlq", "list")
    assert ended.code == 0
    assert f"{topic}-dlq  4 waiting: invalid 2 · refused 1 · unknown_type 1" in ended.out
    assert re.search(r"^RECORD +FAILED AT +RETRIES +REASON", ended.out, re.MULTILINE)
    rows = re.findall(rf"{topic}-dlq/\d/\d+ .*", ended.out)
    assert len(rows) == 4
    assert "refused: letter 0" in rows[0]
    assert cli("dlq", "list", "--reason", "invalid", "--json").json["waiting"] == 2
    short = cli("dlq", "list", "--limit", "1")
    assert "1 of 4 letters" in short.err


def test_since_leaves_out_what_was_given_up_before(cli, settings, topic):
    give_up(settings, topic, "invalid")
    give_up(settings, topic, "refused")
    times = sorted(dead_letter["given_up_at"] for dead_letter in cli("dlq", "list", "--json").json["letters"])
    assert [dead_letter["reason"] for dead_letter in listed(cli, "--since", times[-1]).values()] == ["refused"]
    assert cli("dlq", "list", "--since", "1h", "--json").json["waiting"] == 2
    wrong = cli("dlq", "list", "--since", "yesterday")
    assert wrong.code == 2
    assert "'yesterday' is no time" in wrong.err


def test_a_letter_is_shown_whole(cli, settings, topic):
    give_up(settings, topic, "invalid")
    (name,) = (dead_letter["letter"] for dead_letter in listed(cli).values())
    ended = cli("dlq", "show", name)
    for text in ("invalid: letter 0", f"{topic}/0/0", "traceparent: 00-aa", "key-0", '"event_id": "e-0"', "waits"):
        assert text in ended.out
    document = cli("dlq", "show", name, "--json").json
    assert document["body"] == {"event_id": "e-0"}
    assert document["headers"] == {"traceparent": "00-aa"}
    assert document["original"] == {"topic": topic, "partition": 0, "offset": 0}


@pytest.mark.parametrize(
    ("body", "content"),
    [
        (b"\x00\xff", {"body_base64": "AP8="}),
        (b"not \x1b[31m JSON", {"body_text": "not \x1b[31m JSON"}),
        (b"", {"body_text": ""}),
    ],
)
def test_a_body_that_is_no_json_is_shown_too(cli, settings, topic, body, content):
    give_up(settings, topic, "undecodable", body=body)
    (name,) = (dead_letter["letter"] for dead_letter in listed(cli).values())
    document = cli("dlq", "show", name, "--json").json
    assert {name: value for name, value in document.items() if name.startswith("body")} == content
    assert "\x1b" not in cli("dlq", "show", name).out


def test_a_chosen_letter_goes_back_where_it_came_from_and_waits_no_more(cli, kafka, settings, topic):
    give_up(settings, topic, *["invalid"] * 6)
    name = listed(cli)["letter 3"]["letter"]
    dry = cli("dlq", "redrive", name, "--dry-run")
    assert f"{name} → {topic}/3  retry 1" in dry.out
    assert read_all(kafka, topic) == []
    sent = cli("dlq", "redrive", name)
    assert sent.out.splitlines() == [f"{name} → {topic}/3  retry 1"]
    (back,) = read_all(kafka, topic)
    assert (back.partition(), back.key(), back.value()) == (3, b"key-3", b'{"event_id": "e-3"}')
    assert back.headers() == [("traceparent", b"00-aa"), ("x-retry-count", b"1")]
    assert sorted(listed(cli)) == [f"letter {index}" for index in (0, 1, 2, 4, 5)]
    again = cli("dlq", "redrive", name)
    assert again.code == 3
    assert "does not wait" in again.err
    assert "was sent back" in cli("dlq", "show", name).out
    assert len(read_all(kafka, topic)) == 1


def test_letters_go_back_by_reason_and_all_of_them(cli, kafka, settings, topic, redrive_group):
    give_up(settings, topic, "invalid", "refused", "invalid", "refused", "failed")
    assert cli("worker", "status", "--json").json["dead_lettered"] == {topic: 5}
    assert len(cli("dlq", "redrive", "--reason", "refused", "--json").json["redriven"]) == 2
    assert sorted(listed(cli)) == ["letter 0", "letter 2", "letter 4"]
    assert cli("dlq", "redrive", "--all").code == 0
    assert cli("dlq", "list").out == "no dead letters wait\n"
    assert len(read_all(kafka, topic)) == 5
    assert cli("worker", "status", "--json").json["dead_lettered"] == {}
    ends = _ends(kafka, f"{topic}-dlq")
    assert committed(kafka, redrive_group, f"{topic}-dlq") == ends


def test_what_waits_is_known_without_the_groups_offsets(cli, kafka, settings, topic, redrive_group):
    give_up(settings, topic, "invalid", "refused", "invalid")
    cli("dlq", "redrive", "--reason", "invalid")
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.delete_consumer_groups([redrive_group])[redrive_group].result(30)
    assert list(listed(cli)) == ["letter 1"]


def test_a_redrive_that_is_interrupted_leaves_nothing_out(cli, kafka, settings, topic, monkeypatch):
    give_up(settings, topic, *["invalid"] * 3)
    send, calls = AckedProducer.send, []

    async def interrupted(producer, records):
        calls.append(1)
        if len(calls) == 2:  # the letters are back, the notes are not written
            raise KeyboardInterrupt
        return await send(producer, records)

    monkeypatch.setattr(AckedProducer, "send", interrupted)
    assert cli("dlq", "redrive", "--all").code == 1
    monkeypatch.undo()
    assert len(read_all(kafka, topic)) == 3
    assert len(listed(cli)) == 3
    assert cli("dlq", "redrive", "--all").code == 0
    assert len(read_all(kafka, topic)) == 6


def test_a_letter_that_goes_back_in_many_pieces(cli, kafka, settings, topic, monkeypatch):
    monkeypatch.setattr(redrive, "_BATCH_SIZE", 7)
    give_up(settings, topic, *["invalid"] * 40)
    assert len(cli("dlq", "redrive", "--all", "--json").json["redriven"]) == 40
    assert {message.value() for message in read_all(kafka, topic)} == {b'{"event_id": "e-%d"}' % n for n in range(40)}


def test_a_letter_without_its_body_stays(cli, kafka, settings, topic):
    give_up(settings, topic, "invalid")
    headers = {"x-original-topic": topic.encode(), "x-original-partition": b"1", "x-original-offset": b"9",
               "x-failure-reason": b"invalid: letter cut", "x-body-omitted": b"5000"}  # fmt: skip
    produce(kafka, f"{topic}-dlq", [(b"k", b"")], headers=headers)
    ended = cli("dlq", "redrive", "--all")
    assert ended.code == 1
    assert f"it is at {topic}/1/9" in ended.out
    assert list(listed(cli)) == ["letter cut"]
    assert len(read_all(kafka, topic)) == 1


def test_a_letter_whose_topic_is_gone_stays(cli, kafka, settings, topic):
    give_up(settings, topic, "invalid")
    produce(kafka, f"{topic}-dlq", [(b"k", b"{}")], headers={"x-original-topic": b"no-such-topic"})
    ended = cli("dlq", "redrive", "--all")
    assert ended.code == 1
    assert "1 letters could not be sent back" in ended.err
    assert len(listed(cli)) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["dlq", "redrive"], 2, "name letters, or give --reason or --all"),
        (["dlq", "redrive", "--all", "--reason", "invalid"], 2, "one of the three"),
        (["dlq", "redrive", "no-letter"], 2, "is no letter"),
        (["dlq", "show", "topic/0/1"], 2, "is no letter"),
        (["dlq", "list", "--topic", "nothing"], 3, "there is no topic nothing-dlq"),
    ],
)
def test_wrong_use_is_said_in_one_sentence(cli, arguments, code, sentence):
    ended = cli(*arguments)
    assert ended.code == code
    assert sentence in ended.err
    assert ended.out == ""


def test_no_brokers_and_no_answer(cli):
    assert "KAFKA_BOOTSTRAP_SERVERS is not set" in cli("dlq", "list", KAFKA_BOOTSTRAP_SERVERS="").err
    away = cli("dlq", "list", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert away.code == 4
    assert "no Kafka broker answers at 127.0.0.1:1" in away.err


def test_poison_goes_round_and_what_is_healed_is_stored(cli, kafka, topic, work, settings):
    """A worker gives a record up, it is sent back, and given up again; one whose fault was elsewhere is stored."""
    produce(kafka, topic, [(key(1), body(event_id(1), event_type="llm.of.tomorrow"))])
    worker = work()
    until(lambda: len(listed(cli)) == 1)
    (first,) = listed(cli).values()
    assert (first["reason"], first["retries"]) == ("unknown_type", 0)
    give_up(settings, topic, "failed", body=body(event_id(2)), partition=1)
    assert cli("dlq", "redrive", "--all").code == 0
    until(lambda: worker.processed() == 1)
    until(lambda: len(listed(cli)) == 1)
    (second,) = listed(cli).values()
    assert (second["reason"], second["retries"]) == ("unknown_type", 1)
    assert second["original"]["offset"] == first["original"]["offset"] + 1
    assert worker.stop() == 0
    assert Stored(worker.data).events == [event_id(2).replace("-", "")]


def _ends(bootstrap: str, topic: str) -> dict[int, int]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "looks"})
    try:
        partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        return {
            number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=30)[1]
            for number in partitions
        }
    finally:
        consumer.close()
