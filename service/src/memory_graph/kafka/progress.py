"""How far a consumer group is in its topics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._group import ConsumerGroupDescription
from confluent_kafka.admin._listoffsets import OffsetSpec

from memory_graph.config import Settings
from memory_graph.kafka.reach import of_group, unreachable

_EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]


class Progress(msgspec.Struct, frozen=True):
    """One partition. first, end: its first offset and the one its next record gets. committed: where the group goes
    on; None: it has not begun."""

    topic: str
    partition: int
    first: int
    committed: int | None
    end: int

    @property
    def lag(self) -> int:
        """Records that the group has not done."""
        return self.end - max(self.first, self.committed or 0)


def progress(
    admin: AdminClient, settings: Settings, partitions: Iterable[tuple[str, int]], seconds: float = 10.0
) -> list[Progress]:
    """The group of the settings in the partitions named, in their order; blocks for at most about so many seconds a
    question. Raises `KafkaUnreachable`."""
    asked = [TopicPartition(topic, partition) for topic, partition in partitions]
    if not asked:
        return []
    try:
        first = _offsets(admin, asked, _EARLIEST, seconds)
        end = _offsets(admin, asked, _LATEST, seconds)
        answered = of_group(lambda: _committed(admin, settings.kafka_group, asked, seconds), seconds)
        committed = {(one.topic, one.partition): one.offset for one in answered}
    except KafkaException as raised:
        raise unreachable(raised.args[0], settings) from None
    found = []
    for one in asked:
        key = one.topic, one.partition
        offset = committed.get(key, -1)
        found.append(Progress(one.topic, one.partition, first[key], offset if offset >= 0 else None, end[key]))
    return found


def described(admin: AdminClient, group: str, seconds: float = 10.0) -> ConsumerGroupDescription:
    """What the brokers know of a group; blocks for about so many seconds. Raises KafkaException."""

    def ask() -> ConsumerGroupDescription:
        answer: ConsumerGroupDescription = admin.describe_consumer_groups([group], request_timeout=seconds)[
            group
        ].result()
        return answer

    return of_group(ask, seconds)


def _committed(admin: AdminClient, group: str, asked: list[TopicPartition], seconds: float) -> list[TopicPartition]:
    question = [ConsumerGroupTopicPartitions(group, asked)]
    return admin.list_consumer_group_offsets(question, request_timeout=seconds)[group].result().topic_partitions or []


def _offsets(
    admin: AdminClient, asked: list[TopicPartition], spec: OffsetSpec, seconds: float
) -> Mapping[tuple[str, int], int]:
    answered = admin.list_offsets(dict.fromkeys(asked, spec), request_timeout=seconds)
    return {(one.topic, one.partition): future.result().offset for one, future in answered.items()}
