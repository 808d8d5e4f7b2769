"""Resetting the offsets of the workers' group, so that it reads a topic again.

Offsets only ever go back: records that a group is put past would never be read. A record that is read again is in the
graph already, or was lost to it; a repeated event changes nothing (the store's unique key), so there is no end offset.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from memory_graph.config import Settings
from memory_graph.kafka.connectivity import topic_metadata, unreachable
from memory_graph.kafka.group_offsets import GroupReader, PartitionOffsets, describe_group, group_offsets
from memory_graph.kafka.settings import client_settings

_REQUEST_TIMEOUT_S = 10.0
_NO_OFFSET = 2**62
"""Larger than every offset."""


class PartitionReset(msgspec.Struct, frozen=True):
    """A partition before and after. target: where the group is to go on; None: its offset stays."""

    current: PartitionOffsets
    target: int | None

    @property
    def records(self) -> int:
        """The number of records that are read again."""
        return 0 if self.target is None else (self.current.committed or 0) - self.target


class ResetPlan(msgspec.Struct, frozen=True):
    """The offsets that a reset would set. members: of the group now; a group with members cannot be reset."""

    group: str
    members: int
    partitions: list[PartitionReset]


class GroupActive(Exception):
    """The group has members, which would not notice new offsets and soon overwrite them."""


def plan_reset(settings: Settings, topic: str, *, at: int | None = None, offset: int | None = None) -> ResetPlan:
    """Plan the offset of each partition: that of the first record of a time (milliseconds), or the offset given.

    Raises:
        KafkaUnreachable, UnknownTopic, SettingsError.
    """
    reader = GroupReader(settings)
    admin = reader.admin
    partitions = [(topic, number) for number in sorted(topic_metadata(admin, settings, [topic])[topic].partitions)]
    try:
        targets = dict.fromkeys(partitions, offset or 0) if at is None else _offsets_for_time(admin, partitions, at)
        members = len(describe_group(admin, settings.kafka_group).members)
    except KafkaException as raised:
        raise unreachable(raised.args[0], settings) from None
    return ResetPlan(
        settings.kafka_group,
        members,
        [
            PartitionReset(current, _target(current, targets[current.topic, current.partition]))
            for current in group_offsets(reader, partitions)
        ],
    )


def reset_offsets(settings: Settings, plan: ResetPlan) -> None:
    """Set the offsets of the group.

    Raises:
        GroupActive: it has members; nothing was changed.
        KafkaUnreachable: no broker answers.
    """
    offsets = [
        TopicPartition(partition.current.topic, partition.current.partition, partition.target)
        for partition in plan.partitions
        if partition.target is not None
    ]
    if not offsets:
        return
    admin = AdminClient(client_settings(settings))
    try:
        if describe_group(admin, plan.group).members:
            raise GroupActive
        request = ConsumerGroupTopicPartitions(plan.group, offsets)
        for answer in admin.alter_consumer_group_offsets([request]).values():
            _raise_first_error(answer.result(_REQUEST_TIMEOUT_S).topic_partitions or ())
    except KafkaException as raised:
        error = raised.args[0]
        if error.code() in (KafkaError.UNKNOWN_MEMBER_ID, KafkaError.NON_EMPTY_GROUP):
            raise GroupActive from None
        raise unreachable(error, settings) from None


def _raise_first_error(partitions: Sequence[TopicPartition]) -> None:
    for partition in partitions:
        if partition.error is not None:
            raise KafkaException(partition.error)


def _target(current: PartitionOffsets, offset: int) -> int | None:
    target = max(offset, current.first)
    return target if current.committed is not None and target < current.committed else None


def _offsets_for_time(admin: AdminClient, partitions: Sequence[tuple[str, int]], at: int) -> dict[tuple[str, int], int]:
    spec = OffsetSpec.for_timestamp(at)
    answer = admin.list_offsets(
        {TopicPartition(*partition): spec for partition in partitions}, request_timeout=_REQUEST_TIMEOUT_S
    )
    offsets = {(partition.topic, partition.partition): future.result().offset for partition, future in answer.items()}
    return {partition: offset if offset >= 0 else _NO_OFFSET for partition, offset in offsets.items()}
