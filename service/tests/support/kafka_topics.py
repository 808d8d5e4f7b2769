"""Topics of tests, and what is in them, by the plain client."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from memory_graph.kafka import connectivity
from memory_graph.kafka.group_offsets import describe_group

_LIMIT_S = 60.0


def await_coordinator(bootstrap: str) -> None:
    """Wait until a group has a coordinator: the first request creates the topic of offsets, which may take long."""
    describe_group(AdminClient({"bootstrap.servers": bootstrap}), "any", _LIMIT_S)


def new_topic(
    bootstrap: str,
    name: str | None = None,
    *,
    partitions: int = 4,
    copies: int = 1,
    config: Mapping[str, str] | None = None,
) -> str:
    """Create a topic, under a name that no other test uses unless one is given; returns the name."""
    topic = name or f"topic-{uuid.uuid4().hex[:12]}"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    created = admin.create_topics([NewTopic(topic, partitions, copies, config=dict(config or {}))])
    created[topic].result(_LIMIT_S)
    return topic


def produce(
    bootstrap: str,
    topic: str,
    records: Iterable[tuple[bytes | None, bytes]],
    *,
    headers: Mapping[str, bytes] | None = None,
    partition: int = -1,
) -> int:
    """Write keys and bodies, and return how many."""
    refused: list[str] = []

    def on_delivery(error: object, _: Message) -> None:
        if error is not None:
            refused.append(str(error))

    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 20})
    sent = 0
    for key, body in records:
        while True:
            try:
                producer.produce(
                    topic, body, key, partition, on_delivery=on_delivery, headers=list((headers or {}).items()) or None
                )
                break
            except BufferError:
                producer.poll(0.1)
        sent += 1
    assert producer.flush(_LIMIT_S) == 0, "not everything was written in time"
    assert not refused, refused[0]
    return sent


def read_all(bootstrap: str, topic: str) -> list[Message]:
    """Return all records of a topic, partition by partition."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": f"reads-{uuid.uuid4().hex}", "enable.auto.commit": False}
    )
    try:
        partitions = consumer.list_topics(topic, timeout=_LIMIT_S).topics[topic].partitions
        messages: list[Message] = []
        for partition in sorted(partitions):
            first, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_LIMIT_S)
            consumer.assign([TopicPartition(topic, partition, first)])
            position = first
            while position < end:
                for message in consumer.consume(500, 0.1):
                    assert message.error() is None, message.error()
                    messages.append(message)
                    position = message.offset() + 1
        return messages
    finally:
        consumer.close()


def committed(bootstrap: str, group: str, topic: str) -> dict[int, int]:
    """The offsets a group has committed, by partition; those without one are left out. Waits for a broker to answer for
    the group where the one that did is gone."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False})
    try:
        metadata = consumer.list_topics(topic, timeout=_LIMIT_S).topics[topic]
        partitions = [TopicPartition(topic, partition) for partition in metadata.partitions]
        offsets = connectivity.retry_while_moving(lambda: consumer.committed(partitions, _LIMIT_S), _LIMIT_S)
        return {partition.partition: partition.offset for partition in offsets if partition.offset >= 0}
    finally:
        consumer.close()
