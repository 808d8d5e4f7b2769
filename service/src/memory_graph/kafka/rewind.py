"""Reading a topic again: the workers' group is put back to where it was, and goes on from there.

It is only ever put back: what a group is put past is never read. What it reads again is in the graph already, or was
lost to it; a repeated event changes nothing (the store's unique key), so there is no end to say either.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from memory_graph.config import Settings
from memory_graph.kafka.progress import GroupReader, Progress, described, progress
from memory_graph.kafka.reach import known, unreachable
from memory_graph.kafka.settings import client_settings

_ANSWER_S = 10.0


class Rewind(msgspec.Struct, frozen=True):
    """A partition before and after. target: where the group is to go on; None: it stays where it is."""

    now: Progress
    target: int | None

    @property
    def again(self) -> int:
        """Records that are read again."""
        return 0 if self.target is None else (self.now.committed or 0) - self.target


class Plan(msgspec.Struct, frozen=True):
    """What a rewind would do. members: of the group now; it can be moved only while it has none."""

    group: str
    members: int
    partitions: list[Rewind]


class GroupActive(Exception):
    """The group has members, which would not hear of new offsets and soon overwrite them."""


def plan(settings: Settings, topic: str, *, at: int | None = None, offset: int | None = None) -> Plan:
    """Where the group would go on in each partition: at the first record of a time (milliseconds), or at an offset.

    Raises:
        KafkaUnreachable, UnknownTopic, SettingsError.
    """
    reader = GroupReader(settings)
    admin = reader.admin
    places = [(topic, number) for number in sorted(known(admin, settings, [topic])[topic].partitions)]
    try:
        wanted = dict.fromkeys(places, offset or 0) if at is None else _first_at(admin, places, at)
        members = len(described(admin, settings.kafka_group).members)
    except KafkaException as raised:
        raise unreachable(raised.args[0], settings) from None
    found = progress(reader, places)
    return Plan(
        settings.kafka_group, members, [Rewind(one, _target(one, wanted[one.topic, one.partition])) for one in found]
    )


def rewind(settings: Settings, planned: Plan) -> None:
    """Moves the group.

    Raises:
        GroupActive: it has members; nothing was moved.
        KafkaUnreachable: no broker answers.
    """
    moved = [
        TopicPartition(one.now.topic, one.now.partition, one.target)
        for one in planned.partitions
        if one.target is not None
    ]
    if not moved:
        return
    admin = AdminClient(client_settings(settings))
    try:
        if described(admin, planned.group).members:
            raise GroupActive
        asked = ConsumerGroupTopicPartitions(planned.group, moved)
        for answer in admin.alter_consumer_group_offsets([asked]).values():
            _refuse_if_any_failed(answer.result(_ANSWER_S).topic_partitions or ())
    except KafkaException as raised:
        error = raised.args[0]
        if error.code() in (KafkaError.UNKNOWN_MEMBER_ID, KafkaError.NON_EMPTY_GROUP):
            raise GroupActive from None
        raise unreachable(error, settings) from None


def _refuse_if_any_failed(answered: Sequence[TopicPartition]) -> None:
    for one in answered:
        if one.error is not None:
            raise KafkaException(one.error)


def _target(now: Progress, wanted: int) -> int | None:
    target = max(wanted, now.first)
    return target if now.committed is not None and target < now.committed else None


def _first_at(admin: AdminClient, places: Sequence[tuple[str, int]], at: int) -> dict[tuple[str, int], int]:
    spec = OffsetSpec.for_timestamp(at)
    asked = {TopicPartition(*place): spec for place in places}
    answered = admin.list_offsets(asked, request_timeout=_ANSWER_S)
    found = {(one.topic, one.partition): future.result().offset for one, future in answered.items()}
    return {place: offset if offset >= 0 else 2**62 for place, offset in found.items()}
