"""The offsets of a consumer group: committed, and the first and last of each partition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._group import ConsumerGroupDescription
from confluent_kafka.admin._listoffsets import OffsetSpec

from memory_graph.config import Settings
from memory_graph.kafka.connectivity import retry_while_moving, unreachable
from memory_graph.kafka.settings import client_settings

_EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]


class PartitionOffsets(msgspec.Struct, frozen=True):
    """The offsets of a group in one partition. first, end: of the partition's first record, and of the next one that is
    written. committed: where the group goes on; None: it has not begun."""

    topic: str
    partition: int
    first: int
    committed: int | None
    end: int

    @property
    def lag(self) -> int:
        """Records that the group has not processed."""
        return self.end - max(self.first, self.committed or 0)


class GroupReader:
    """Reads the state of the group of the settings without being a member of it. Usable from any thread.

    A consumer reads the committed offsets: to it, a group that has moved to another broker is an error that passes,
    while librdkafka's admin client does not outlive it (its issue 5040). admin: for everything else.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises `SettingsError` when no brokers are named."""
        self.settings = settings
        self.admin = AdminClient(client_settings(settings))
        self._consumer = Consumer(
            client_settings(settings) | {"group.id": settings.kafka_group, "enable.auto.commit": False}
        )

    def committed(self, partitions: Sequence[TopicPartition], timeout_s: float) -> list[TopicPartition]:
        """Return the committed offsets; below 0 where the group has not begun. Raises KafkaException."""

        def request() -> list[TopicPartition]:
            answer = self._consumer.committed(list(partitions), timeout_s)
            for partition in answer:
                if partition.error is not None:
                    raise KafkaException(partition.error)
            return answer

        return retry_while_moving(request, timeout_s)


def group_offsets(
    reader: GroupReader, partitions: Iterable[tuple[str, int]], timeout_s: float = 10.0
) -> list[PartitionOffsets]:
    """Return the offsets of the reader's group in the partitions named, in their order. Blocks for at most about the
    timeout a request. Raises `KafkaUnreachable`."""
    requested = [TopicPartition(topic, partition) for topic, partition in partitions]
    if not requested:
        return []
    try:
        first = _list_offsets(reader.admin, requested, _EARLIEST, timeout_s)
        end = _list_offsets(reader.admin, requested, _LATEST, timeout_s)
        committed = {
            (partition.topic, partition.partition): partition.offset
            for partition in reader.committed(requested, timeout_s)
        }
    except KafkaException as raised:
        raise unreachable(raised.args[0], reader.settings) from None
    offsets = []
    for partition in requested:
        key = partition.topic, partition.partition
        offset = committed.get(key, -1)
        offsets.append(PartitionOffsets(*key, first[key], offset if offset >= 0 else None, end[key]))
    return offsets


def describe_group(admin: AdminClient, group: str, timeout_s: float = 10.0) -> ConsumerGroupDescription:
    """Return state and members of a group. Blocks for about the timeout. Raises KafkaException."""

    def request() -> ConsumerGroupDescription:
        answer: ConsumerGroupDescription = admin.describe_consumer_groups([group], request_timeout=timeout_s)[
            group
        ].result()
        return answer

    return retry_while_moving(request, timeout_s)


def _list_offsets(
    admin: AdminClient, partitions: list[TopicPartition], spec: OffsetSpec, timeout_s: float
) -> Mapping[tuple[str, int], int]:
    answer = admin.list_offsets(dict.fromkeys(partitions, spec), request_timeout=timeout_s)
    return {(partition.topic, partition.partition): future.result().offset for partition, future in answer.items()}
