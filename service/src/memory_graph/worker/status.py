"""The status of the workers' group, as the brokers see it."""

from __future__ import annotations

import msgspec
from confluent_kafka import KafkaException

from memory_graph.config import Settings
from memory_graph.kafka.connectivity import cluster_metadata, topic_metadata, unreachable
from memory_graph.kafka.dead_letters import dead_letter_topic
from memory_graph.kafka.dlq_reader import REDRIVE_GROUP
from memory_graph.kafka.group_offsets import GroupReader, PartitionOffsets, describe_group, group_offsets


class PartitionStatus(msgspec.Struct, frozen=True):
    """A partition and its consumer. consumer: client and host; None: it has none."""

    offsets: PartitionOffsets
    consumer: str | None


class GroupStatus(msgspec.Struct, frozen=True):
    """The group and its partitions. state: as Kafka names it (`stable`, `empty`, `preparing_rebalance` …).
    dead_lettered: by topic, about how many dead letters wait (exactly, where no redrive has selected some of them); a
    topic without any is left out."""

    group: str
    state: str
    members: int
    partitions: list[PartitionStatus]
    dead_lettered: dict[str, int]

    @property
    def lag(self) -> int:
        return sum(partition.offsets.lag for partition in self.partitions)


class TopicRate(msgspec.Struct, frozen=True):
    """The change of a topic between two snapshots. lag_change: of the lag, in records. per_second: records that the
    group has processed."""

    topic: str
    lag: int
    lag_change: int
    per_second: float


def topic_rates(first: list[PartitionOffsets], second: list[PartitionOffsets], seconds: float) -> list[TopicRate]:
    """Compare two snapshots of the partitions, which were taken so many seconds apart, topic by topic."""
    previous_by_topic = _by_topic(first)
    rates = []
    for topic, current in _by_topic(second).items():
        previous = previous_by_topic.get(topic, current)
        lag = sum(partition.lag for partition in current)
        processed = sum(map(_position, current)) - sum(map(_position, previous))
        lag_change = lag - sum(partition.lag for partition in previous)
        rates.append(TopicRate(topic, lag, lag_change, max(processed, 0) / seconds))
    return rates


def _position(offsets: PartitionOffsets) -> int:
    return offsets.first if offsets.committed is None else offsets.committed


def _by_topic(partitions: list[PartitionOffsets]) -> dict[str, list[PartitionOffsets]]:
    by_topic: dict[str, list[PartitionOffsets]] = {}
    for partition in partitions:
        by_topic.setdefault(partition.topic, []).append(partition)
    return by_topic


def worker_offsets(settings: Settings, timeout_s: float = 10.0) -> list[PartitionOffsets]:
    """Return the offsets of the group in its topics; blocks and raises like `group_status`."""
    return _worker_offsets(GroupReader(settings), timeout_s)


def group_status(settings: Settings, timeout_s: float = 10.0) -> GroupStatus:
    """Read the status from the brokers; blocks for at most about the timeout a request.

    Raises:
        KafkaUnreachable: no broker answers.
        UnknownTopic: a topic of the settings does not exist.
        SettingsError: no brokers are named.
    """
    reader = GroupReader(settings)
    partitions = _worker_offsets(reader, timeout_s)
    try:
        group = describe_group(reader.admin, settings.kafka_group, timeout_s)
    except KafkaException as raised:
        raise unreachable(raised.args[0], settings) from None
    consumers = {
        (partition.topic, partition.partition): f"{member.client_id} {member.host.removeprefix('/')}"
        for member in group.members
        for partition in (member.assignment.topic_partitions if member.assignment else ())
    }
    return GroupStatus(
        group=settings.kafka_group,
        state=group.state.name.lower(),
        members=len(group.members),
        partitions=[
            PartitionStatus(offsets, consumers.get((offsets.topic, offsets.partition))) for offsets in partitions
        ],
        dead_lettered=_dead_lettered(reader, timeout_s),
    )


def _worker_offsets(reader: GroupReader, timeout_s: float) -> list[PartitionOffsets]:
    topics = topic_metadata(reader.admin, reader.settings, reader.settings.kafka_topics, timeout_s)
    partitions = [(topic, number) for topic, metadata in topics.items() for number in sorted(metadata.partitions)]
    return group_offsets(reader, partitions, timeout_s)


def _dead_lettered(reader: GroupReader, timeout_s: float) -> dict[str, int]:
    settings = reader.settings
    existing = cluster_metadata(reader.admin, settings, timeout_s).topics
    queues = {
        dead_letter_topic(topic): topic for topic in settings.kafka_topics if dead_letter_topic(topic) in existing
    }
    if not queues:
        return {}
    counts = dict.fromkeys(queues.values(), 0)
    redriven = GroupReader(settings.model_copy(update={"kafka_group": REDRIVE_GROUP}))
    partitions = [(name, number) for name in queues for number in existing[name].partitions]
    for offsets in group_offsets(redriven, partitions):
        counts[queues[offsets.topic]] += offsets.lag
    return {topic: count for topic, count in counts.items() if count}
