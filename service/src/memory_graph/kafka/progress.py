"""How far a consumer group is in its topics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._group import ConsumerGroupDescription
from confluent_kafka.admin._listoffsets import OffsetSpec

from memory_graph.config import Settings
from memory_graph.kafka.reach import of_group, unreachable
from memory_graph.kafka.settings import client_settings

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


class GroupReader:
    """A reader of the state of the group of the settings, which is no member of it. For any thread.

    Committed offsets are asked of a consumer, to which a group that has moved to another broker is an error that
    passes: librdkafka's admin client does not outlive it (its issue 5040). admin: for all else.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises `SettingsError` when no brokers are named."""
        self.settings = settings
        self.admin = AdminClient(client_settings(settings))
        self._consumer = Consumer(
            client_settings(settings) | {"group.id": settings.kafka_group, "enable.auto.commit": False}
        )

    def committed(self, partitions: Sequence[TopicPartition], seconds: float) -> list[TopicPartition]:
        """Where the group goes on; below 0 where it has not begun. Raises KafkaException."""

        def ask() -> list[TopicPartition]:
            answered = self._consumer.committed(list(partitions), seconds)
            for one in answered:
                if one.error is not None:
                    raise KafkaException(one.error)
            return answered

        return of_group(ask, seconds)


def progress(reader: GroupReader, partitions: Iterable[tuple[str, int]], seconds: float = 10.0) -> list[Progress]:
    """The reader's group in the partitions named, in their order; blocks for at most about so many seconds a question.
    Raises `KafkaUnreachable`."""
    asked = [TopicPartition(topic, partition) for topic, partition in partitions]
    if not asked:
        return []
    try:
        first = _offsets(reader.admin, asked, _EARLIEST, seconds)
        end = _offsets(reader.admin, asked, _LATEST, seconds)
        committed = {(one.topic, one.partition): one.offset for one in reader.committed(asked, seconds)}
    except KafkaException as raised:
        raise unreachable(raised.args[0], reader.settings) from None
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


def _offsets(
    admin: AdminClient, asked: list[TopicPartition], spec: OffsetSpec, seconds: float
) -> Mapping[tuple[str, int], int]:
    answered = admin.list_offsets(dict.fromkeys(asked, spec), request_timeout=seconds)
    return {(one.topic, one.partition): future.result().offset for one, future in answered.items()}
