"""What the workers' group is doing, asked of the brokers alone."""

from __future__ import annotations

import msgspec
from confluent_kafka import KafkaException

from memory_graph.config import Settings
from memory_graph.kafka.dead_letters import dead_letter_topic
from memory_graph.kafka.letter_log import REDRIVE_GROUP
from memory_graph.kafka.progress import GroupReader, Progress, described, progress
from memory_graph.kafka.reach import known, reached, unreachable


class PartitionStatus(msgspec.Struct, frozen=True):
    """A partition and who reads it. consumer: client and host; None: nobody does."""

    progress: Progress
    consumer: str | None


class GroupStatus(msgspec.Struct, frozen=True):
    """state: as Kafka names it (`stable`, `empty`, `preparing_rebalance` …). dead_lettered: of each topic, about how
    many dead letters wait (exactly, where none of them was chosen to be sent back); a topic without any is left out."""

    group: str
    state: str
    members: int
    partitions: list[PartitionStatus]
    dead_lettered: dict[str, int]

    @property
    def lag(self) -> int:
        return sum(one.progress.lag for one in self.partitions)


class TopicPace(msgspec.Struct, frozen=True):
    """What two looks at a topic, some time apart, say of it. lag_change: records more than at the first look.
    per_second: records the group has done."""

    topic: str
    lag: int
    lag_change: int
    per_second: float


def paces(first: list[Progress], second: list[Progress], seconds: float) -> list[TopicPace]:
    """Of each topic, what two looks at its partitions say, so many seconds apart."""
    before, after = _by_topic(first), _by_topic(second)
    found = []
    for topic, now in after.items():
        then = before.get(topic, now)
        lag = sum(one.lag for one in now)
        done = sum(map(_at, now)) - sum(map(_at, then))
        found.append(TopicPace(topic, lag, lag - sum(one.lag for one in then), max(done, 0) / seconds))
    return found


def _at(progress: Progress) -> int:
    return progress.first if progress.committed is None else progress.committed


def _by_topic(partitions: list[Progress]) -> dict[str, list[Progress]]:
    found: dict[str, list[Progress]] = {}
    for one in partitions:
        found.setdefault(one.topic, []).append(one)
    return found


def group_progress(settings: Settings, seconds: float = 10.0) -> list[Progress]:
    """How far the group is in its topics, as `group_status` has it; blocks and raises like that."""
    return _progress(GroupReader(settings), seconds)


def group_status(settings: Settings, seconds: float = 10.0) -> GroupStatus:
    """Asks the brokers; blocks for at most about so many seconds a question.

    Raises:
        KafkaUnreachable: no broker answers.
        UnknownTopic: a topic of the settings is not there.
        SettingsError: no brokers are named.
    """
    reader = GroupReader(settings)
    partitions = _progress(reader, seconds)
    try:
        group = described(reader.admin, settings.kafka_group, seconds)
    except KafkaException as raised:
        raise unreachable(raised.args[0], settings) from None
    readers = {
        (one.topic, one.partition): f"{member.client_id} {member.host.removeprefix('/')}"
        for member in group.members
        for one in (member.assignment.topic_partitions if member.assignment else ())
    }
    return GroupStatus(
        group=settings.kafka_group,
        state=group.state.name.lower(),
        members=len(group.members),
        partitions=[PartitionStatus(one, readers.get((one.topic, one.partition))) for one in partitions],
        dead_lettered=_dead_lettered(reader, seconds),
    )


def _progress(reader: GroupReader, seconds: float) -> list[Progress]:
    topics = known(reader.admin, reader.settings, reader.settings.kafka_topics, seconds)
    places = [(topic, partition) for topic, there in topics.items() for partition in sorted(there.partitions)]
    return progress(reader, places, seconds)


def _dead_lettered(reader: GroupReader, seconds: float) -> dict[str, int]:
    settings = reader.settings
    there = reached(reader.admin, settings, seconds).topics
    queues = {dead_letter_topic(topic): topic for topic in settings.kafka_topics if dead_letter_topic(topic) in there}
    if not queues:
        return {}
    found = dict.fromkeys(queues.values(), 0)
    redriven = GroupReader(settings.model_copy(update={"kafka_group": REDRIVE_GROUP}))
    for one in progress(redriven, [(name, number) for name in queues for number in there[name].partitions]):
        found[queues[one.topic]] += one.lag
    return {topic: count for topic, count in found.items() if count}
