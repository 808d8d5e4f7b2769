"""Dead letters as they are written."""

from __future__ import annotations

import asyncio
import os
import uuid

import pytest

from memory_graph.kafka.dead_letters import DeadLetterQueue, RejectedRecord, dlq_record
from support.kafka_topics import new_topic, read_all

pytestmark = pytest.mark.xdist_group("kafka")


def rejected(topic: str, **fields) -> RejectedRecord:
    return RejectedRecord(
        **{
            "topic": topic,
            "partition": 3,
            "offset": 17,
            "key": b"session-1",
            "body": b"{}",
            "reason": "invalid",
            "sentence": "the timestamp is missing",
            **fields,
        }
    )


async def send(settings, *records: RejectedRecord) -> None:
    async with DeadLetterQueue(settings) as queue:
        await queue.send(records)


async def test_a_letter_keeps_the_record_and_says_where_it_came_from_and_why(settings, kafka, topic):
    headers = (("traceparent", b"00-1"), ("content-type", b"application/x-protobuf"), ("empty", None))
    await send(settings, rejected(topic, body=b"\x00\xff", headers=headers))
    (record,) = read_all(kafka, f"{topic}-dlq")
    assert (record.key(), record.value()) == (b"session-1", b"\x00\xff")
    assert record.headers() == [
        *headers,
        ("x-original-topic", topic.encode()),
        ("x-original-partition", b"3"),
        ("x-original-offset", b"17"),
        ("x-failure-reason", b"invalid: the timestamp is missing"),
        ("x-retry-count", b"0"),
    ]


def test_a_letter_that_fails_again_says_so_once():
    headers = (("x-retry-count", b"2"), ("x-original-topic", b"elsewhere"), ("mine", b"1"))
    record = dlq_record(rejected("t", headers=headers))
    assert record.headers[0] == ("mine", b"1")
    assert dict(record.headers)["x-retry-count"] == b"2"
    assert [value for name, value in record.headers if name == "x-original-topic"] == [b"t"]


async def test_a_record_that_does_not_fit_is_kept_without_its_body(settings, kafka):
    topic = f"small-{uuid.uuid4().hex[:12]}"
    new_topic(kafka, f"{topic}-dlq", config={"max.message.bytes": "2000"})
    body = os.urandom(5_000)
    await send(settings, rejected(topic, body=b"small"), rejected(topic, body=body))
    records = read_all(kafka, f"{topic}-dlq")
    cut = [message for message in records if dict(message.headers()).get("x-body-omitted")]
    assert [(message.value(), dict(message.headers())["x-body-omitted"]) for message in cut] == [(b"", b"5000")]
    assert b"small" in {message.value() for message in records}


async def test_a_place_for_dead_letters_that_is_missing_is_waited_for(settings, kafka):
    topic = f"later-{uuid.uuid4().hex[:12]}"
    sending = asyncio.create_task(send(settings, rejected(topic)))
    done, _ = await asyncio.wait({sending}, timeout=1)
    assert not done
    new_topic(kafka, f"{topic}-dlq")
    await sending
    assert len(read_all(kafka, f"{topic}-dlq")) == 1


async def test_a_queue_that_is_closed_lets_go_of_a_letter_it_cannot_write(settings):
    unreachable = settings.model_copy(update={"kafka_bootstrap_servers": "127.0.0.1:1"})
    async with DeadLetterQueue(unreachable) as queue:
        sending = asyncio.create_task(queue.send([rejected("t")]))
        await asyncio.wait({sending}, timeout=0.5)
        sending.cancel()
        await asyncio.wait({sending})
    assert sending.cancelled()
