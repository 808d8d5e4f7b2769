"""Reading dead letters. Records are never removed from a `-dlq` topic: a dead letter that was sent back has a redrive
marker behind it in its partition, and those with a marker are not in the backlog any more.

In each partition the committed offset of the group REDRIVE_GROUP is that of the first dead letter of the backlog:
reading begins there, and the group's lag is about the size of the backlog. Where its offsets have expired, reading
begins at the beginning, and the markers give the same result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from sys import intern
from typing import Self

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from memory_graph.config import Settings
from memory_graph.kafka.connectivity import (
    UnknownTopic,
    cluster_metadata,
    retry_while_moving,
    topic_metadata,
    unreachable,
)
from memory_graph.kafka.dead_letters import (
    BODY_OMITTED,
    DLQ_HEADERS,
    FAILURE_REASON,
    ORIGINAL_OFFSET,
    ORIGINAL_PARTITION,
    ORIGINAL_TOPIC,
    SUFFIX,
    dead_letter_topic,
    retry_count,
)
from memory_graph.kafka.producer import Headers, ProducerRecord
from memory_graph.kafka.settings import client_settings
from memory_graph.model.numbers import whole

REDRIVE_GROUP = "memory-graph-dlq-redrive"
REDRIVEN_OFFSET = "x-redriven-offset"
"""The header of a redrive marker: the offset of the dead letter that was sent back."""
_POLL_BATCH_SIZE = 500
_POLL_TIMEOUT_S = 0.2
_FETCH_AHEAD_KIB = 16 * 1024
_NO_OFFSET = 2**62
"""Larger than every offset."""
_SILENCE_TIMEOUT_S = 30.0
_REQUEST_TIMEOUT_S = 10.0

RecordId = tuple[str, int, int]
"""Topic, partition and offset of a record in the dead letters."""
OnRead = Callable[[int], None]
"""Called with the number of records that were read since the last call."""


class DeadLetter(msgspec.Struct, frozen=True, gc=False):
    """A dead letter without its headers and its body, since many may wait. at: when it failed, in milliseconds since
    1970-01-01T00:00:00Z. original_*: of the record that failed, -1 for one that did not come by Kafka. failure: a
    label, a colon, a sentence. retries: how often it was sent back before. size: of its body, in bytes; the body is in
    the record where is_whole.
    """

    topic: str
    partition: int
    offset: int
    at: int
    key: bytes | None
    size: int
    original_topic: str
    original_partition: int
    original_offset: int
    failure: str
    retries: int
    is_whole: bool

    @property
    def record_id(self) -> RecordId:
        return self.topic, self.partition, self.offset

    @property
    def reason(self) -> str:
        """The label alone."""
        return self.failure.partition(":")[0]


class OffsetRange(msgspec.Struct, frozen=True):
    """The records of a partition from `begin` up to, but without, `end`."""

    topic: str
    partition: int
    begin: int
    end: int


class Backlog(msgspec.Struct, frozen=True):
    """The dead letters that have not been sent back, in the order of each partition, and the ranges that were read."""

    dead_letters: list[DeadLetter]
    ranges: list[OffsetRange]


def parse_dead_letter(message: Message) -> DeadLetter:
    """Parse a record of a `-dlq` topic."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    key, headers = message.key(), message_headers(message)
    values = {name: (value or b"").decode("utf-8", "replace") for name, value in headers if name in DLQ_HEADERS}
    return DeadLetter(
        intern(topic),
        partition,
        offset,
        message.timestamp()[1],
        key if isinstance(key, bytes) else None,
        len(message.value() or b""),
        intern(values.get(ORIGINAL_TOPIC) or topic.removesuffix(SUFFIX)),
        _number(values.get(ORIGINAL_PARTITION, "")),
        _number(values.get(ORIGINAL_OFFSET, "")),
        intern(values.get(FAILURE_REASON) or "unknown"),
        retry_count(headers),
        BODY_OMITTED not in values,
    )


def message_headers(message: Message) -> Headers:
    """Return all headers of a record."""
    headers: object = message.headers()
    return tuple(headers) if isinstance(headers, list) else ()


def redrive_marker(record_id: RecordId) -> ProducerRecord:
    """Make the record that marks a dead letter as sent back."""
    topic, partition, offset = record_id
    return ProducerRecord(topic, None, None, ((REDRIVEN_OFFSET, b"%d" % offset),), partition)


def marked_offset(message: Message) -> int | None:
    """Return the offset of the dead letter that a redrive marker is about; None for a dead letter."""
    value = dict(message_headers(message)).get(REDRIVEN_OFFSET)
    return None if value is None else _number(value.decode("ascii", "replace"))


class DeadLetterReader:
    """Reads without being a member of the group. A context manager; blocks."""

    def __init__(self, settings: Settings) -> None:
        """Raises `SettingsError` when no brokers are named."""
        self._settings = settings
        self._consumer = Consumer(
            client_settings(settings)
            | {
                "group.id": REDRIVE_GROUP,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "queued.max.messages.kbytes": _FETCH_AHEAD_KIB,
            }
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._consumer.close()

    def topics(self, names: Collection[str]) -> list[str]:
        """Return the `-dlq` topics of the topics named, all of which must exist; where none is named, those that exist
        of the topics in the settings.

        Raises:
            KafkaUnreachable: no broker answers.
            UnknownTopic: a topic that is named does not exist.
        """
        if names:
            topics = [name if name.endswith(SUFFIX) else dead_letter_topic(name) for name in names]
            return sorted(topic_metadata(self._consumer, self._settings, topics))
        existing = cluster_metadata(self._consumer, self._settings).topics
        topics = sorted(topic for topic in map(dead_letter_topic, self._settings.kafka_topics) if topic in existing)
        if not topics:
            raise UnknownTopic(
                f"there are no dead letters at {self._settings.kafka_bootstrap_servers}: no topic"
                f" {', '.join(map(dead_letter_topic, self._settings.kafka_topics))}; name one with --topic"
            )
        return topics

    def ranges(self, topics: Collection[str], since: int | None = None) -> list[OffsetRange]:
        """Return the ranges that hold the backlog of topics. since: milliseconds; earlier records are left out."""
        metadata = topic_metadata(self._consumer, self._settings, topics)
        partitions = [
            TopicPartition(topic, number) for topic in topics for number in sorted(metadata[topic].partitions)
        ]
        try:
            answer = retry_while_moving(
                lambda: self._consumer.committed(partitions, _REQUEST_TIMEOUT_S), _REQUEST_TIMEOUT_S
            )
            committed = {(partition.topic, partition.partition): partition.offset for partition in answer}
            earliest = self._offsets_for_time(partitions, since)
            ranges = []
            for partition in partitions:
                low, high = self._consumer.get_watermark_offsets(partition, _REQUEST_TIMEOUT_S)
                key = partition.topic, partition.partition
                begin = max(low, min(committed[key], high), min(earliest.get(key, low), high))
                ranges.append(OffsetRange(*key, begin, high))
        except KafkaException as raised:
            raise unreachable(raised.args[0], self._settings) from None
        return ranges

    def backlog(self, ranges: Sequence[OffsetRange], on_read: OnRead = lambda _: None) -> Backlog:
        """Read the backlog from ranges that reach to the end of their partitions. Raises `KafkaUnreachable`."""
        dead_letters: dict[RecordId, DeadLetter] = {}
        redriven: set[RecordId] = set()
        for message in self.read(ranges, on_read):
            dead_letter = parse_dead_letter(message)
            offset = marked_offset(message)
            if offset is None:
                dead_letters[dead_letter.record_id] = dead_letter
            else:
                redriven.add((dead_letter.topic, dead_letter.partition, offset))
        waiting = [dead_letter for record_id, dead_letter in sorted(dead_letters.items()) if record_id not in redriven]
        return Backlog(waiting, list(ranges))

    def read(self, ranges: Sequence[OffsetRange], on_read: OnRead = lambda _: None) -> Iterator[Message]:
        """Yield the records of ranges, partitions mixed. Raises `KafkaUnreachable` when no more arrive."""
        ends = {(range.topic, range.partition): range.end for range in ranges if range.begin < range.end}
        if not ends:
            return
        self._consumer.assign(
            [TopicPartition(range.topic, range.partition, range.begin) for range in ranges if range.begin < range.end]
        )
        received_at = time.monotonic()
        while ends:
            messages = self._consumer.consume(_POLL_BATCH_SIZE, _POLL_TIMEOUT_S)
            if messages:
                received_at = time.monotonic()
            elif time.monotonic() - received_at > _SILENCE_TIMEOUT_S:
                raise unreachable(KafkaError(KafkaError._TIMED_OUT), self._settings)
            yield from self._records(messages, ends, on_read)
        self._consumer.unassign()

    def _records(
        self, messages: Sequence[Message], ends: dict[tuple[str, int], int], on_read: OnRead
    ) -> Iterator[Message]:
        """Yield the records before the ends of their partitions; remove the partitions that are read from `ends`."""
        for message in messages:
            key = message.topic() or "", message.partition() or 0
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise unreachable(error, self._settings)
            end = ends.get(key)
            if end is None:
                continue
            offset = message.offset() or 0
            if error is None and offset < end:
                on_read(1)
                yield message
            if error is not None or offset >= end - 1:
                del ends[key]

    def move_group(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """Commit the offsets of the group REDRIVE_GROUP. Raises `KafkaUnreachable`."""
        if not offsets:
            return
        try:
            self._consumer.commit(
                offsets=[TopicPartition(*partition, offset) for partition, offset in offsets.items()],
                asynchronous=False,
            )
        except KafkaException as raised:
            raise unreachable(raised.args[0], self._settings) from None

    def _offsets_for_time(self, partitions: Sequence[TopicPartition], since: int | None) -> dict[tuple[str, int], int]:
        if since is None:
            return {}
        times = [TopicPartition(partition.topic, partition.partition, since) for partition in partitions]
        answer = self._consumer.offsets_for_times(times, _REQUEST_TIMEOUT_S)
        return {
            (partition.topic, partition.partition): partition.offset if partition.offset >= 0 else _NO_OFFSET
            for partition in answer
        }


def _number(text: str) -> int:
    """Parse a partition or an offset; -1 where the text is none."""
    number = whole(text)
    return -1 if number is None else number
