"""Reading dead letters. Nothing is ever taken out of a `-dlq` topic: a letter that has been sent back has a note behind
it in its partition, and those with a note are not waiting any more.

The group REDRIVE_GROUP stands, in each partition, before the first letter that waits: reading begins there, and its lag
is about what waits. Where its offsets have expired, reading begins at the beginning and the notes tell the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from sys import intern
from typing import Self

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from memory_graph.config import Settings
from memory_graph.kafka.dead_letters import (
    FAILURE_REASON,
    OMITTED,
    ORIGINAL_OFFSET,
    ORIGINAL_PARTITION,
    ORIGINAL_TOPIC,
    OURS,
    SUFFIX,
    dead_letter_topic,
    retries,
)
from memory_graph.kafka.producer import Headers, Record
from memory_graph.kafka.reach import UnknownTopic, known, of_group, reached, unreachable
from memory_graph.kafka.settings import client_settings
from memory_graph.model.numbers import whole

REDRIVE_GROUP = "memory-graph-dlq-redrive"
REDRIVEN = "x-redriven-offset"
"""The header of a note: the offset of the letter that was sent back."""
_AT_ONCE = 500
_POLL_S = 0.2
_FETCH_AHEAD_KIB = 16 * 1024
_NONE_SO_LATE = 2**62
_SILENCE_S = 30.0
_ANSWER_S = 10.0

Place = tuple[str, int, int]
"""Topic, partition and offset of a letter in the dead letters."""
Told = Callable[[int], None]
"""Is told how many more records have been read."""


class Letter(msgspec.Struct, frozen=True, gc=False):
    """A dead letter but for its headers and its body: many may wait. at: when it was given up, in milliseconds since
    1970-01-01T00:00:00Z. original_*: where it was read, -1 for one that did not come by Kafka. failure: a label, a
    colon, a sentence. retries: how often it was sent back before. size: of its body, which is with it where is_whole.
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
    def place(self) -> Place:
        return self.topic, self.partition, self.offset

    @property
    def reason(self) -> str:
        """The label alone."""
        return self.failure.partition(":")[0]


class Span(msgspec.Struct, frozen=True):
    """Records of a partition: from `begin` on, up to but without `end`."""

    topic: str
    partition: int
    begin: int
    end: int


class Waiting(msgspec.Struct, frozen=True):
    """Letters that have not been sent back, in the order of each partition, and what was read to find them."""

    letters: list[Letter]
    spans: list[Span]


def letter_of(message: Message) -> Letter:
    """A record of the dead letters."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    key, headers = message.key(), headers_of(message)
    ours = {name: (value or b"").decode("utf-8", "replace") for name, value in headers if name in OURS}
    return Letter(
        intern(topic),
        partition,
        offset,
        message.timestamp()[1],
        key if isinstance(key, bytes) else None,
        len(message.value() or b""),
        intern(ours.get(ORIGINAL_TOPIC) or topic.removesuffix(SUFFIX)),
        _place(ours.get(ORIGINAL_PARTITION, "")),
        _place(ours.get(ORIGINAL_OFFSET, "")),
        intern(ours.get(FAILURE_REASON) or "unknown"),
        retries(headers),
        OMITTED not in ours,
    )


def headers_of(message: Message) -> Headers:
    """All headers of a record."""
    found: object = message.headers()
    return tuple(found) if isinstance(found, list) else ()


def note_of(place: Place) -> Record:
    """Says that a letter has been sent back."""
    topic, partition, offset = place
    return Record(topic, None, None, ((REDRIVEN, b"%d" % offset),), partition)


def noted(message: Message) -> int | None:
    """The offset that a note is about; None for a letter."""
    value = dict(headers_of(message)).get(REDRIVEN)
    return None if value is None else _place(value.decode("ascii", "replace"))


class LetterLog:
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

    def topics(self, named: Collection[str]) -> list[str]:
        """The dead letters of the topics named, which must be there, or of those of the settings, as far as they are.

        Raises:
            KafkaUnreachable: no broker answers.
            UnknownTopic: a topic that is named is not there.
        """
        if named:
            wanted = [topic if topic.endswith(SUFFIX) else dead_letter_topic(topic) for topic in named]
            return sorted(known(self._consumer, self._settings, wanted))
        there = reached(self._consumer, self._settings).topics
        found = sorted(topic for topic in map(dead_letter_topic, self._settings.kafka_topics) if topic in there)
        if not found:
            raise UnknownTopic(
                f"there are no dead letters at {self._settings.kafka_bootstrap_servers}: no topic"
                f" {', '.join(map(dead_letter_topic, self._settings.kafka_topics))}; name one with --topic"
            )
        return found

    def spans(self, topics: Collection[str], since: int | None = None) -> list[Span]:
        """What is to be read of topics to know what waits. since: milliseconds; letters before are left out."""
        there = known(self._consumer, self._settings, topics)
        places = [TopicPartition(topic, number) for topic in topics for number in sorted(there[topic].partitions)]
        try:
            committed = of_group(lambda: self._consumer.committed(places, _ANSWER_S), _ANSWER_S)
            done = {(one.topic, one.partition): one.offset for one in committed}
            times = self._first_at(places, since)
            found = []
            for place in places:
                low, high = self._consumer.get_watermark_offsets(place, _ANSWER_S)
                key = place.topic, place.partition
                found.append(Span(*key, max(low, min(done[key], high), min(times.get(key, low), high)), high))
        except KafkaException as raised:
            raise unreachable(raised.args[0], self._settings) from None
        return found

    def waiting(self, spans: Sequence[Span], told: Told = lambda _: None) -> Waiting:
        """The letters of spans that reach to the end. Raises `KafkaUnreachable`."""
        letters: dict[Place, Letter] = {}
        done: set[Place] = set()
        for message in self.read(spans, told):
            letter = letter_of(message)
            offset = noted(message)
            if offset is None:
                letters[letter.place] = letter
            else:
                done.add((letter.topic, letter.partition, offset))
        return Waiting([letter for place, letter in sorted(letters.items()) if place not in done], list(spans))

    def read(self, spans: Sequence[Span], told: Told = lambda _: None) -> Iterator[Message]:
        """The records of spans, partitions mixed. Raises `KafkaUnreachable` when nothing comes any more."""
        left = {(span.topic, span.partition): span.end for span in spans if span.begin < span.end}
        if not left:
            return
        self._consumer.assign(
            [TopicPartition(span.topic, span.partition, span.begin) for span in spans if span.begin < span.end]
        )
        heard = time.monotonic()
        while left:
            messages = self._consumer.consume(_AT_ONCE, _POLL_S)
            if messages:
                heard = time.monotonic()
            elif time.monotonic() - heard > _SILENCE_S:
                raise unreachable(KafkaError(KafkaError._TIMED_OUT), self._settings)
            yield from self._wanted(messages, left, told)
        self._consumer.unassign()

    def _wanted(self, messages: Sequence[Message], left: dict[tuple[str, int], int], told: Told) -> Iterator[Message]:
        for message in messages:
            key = message.topic() or "", message.partition() or 0
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise unreachable(error, self._settings)
            end = left.get(key)
            if end is None:
                continue
            offset = message.offset() or 0
            if error is None and offset < end:
                told(1)
                yield message
            if error is not None or offset >= end - 1:
                del left[key]

    def move(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """Puts the group before the first letter that waits, in each partition. Raises `KafkaUnreachable`."""
        if not offsets:
            return
        try:
            self._consumer.commit(
                offsets=[TopicPartition(*place, offset) for place, offset in offsets.items()], asynchronous=False
            )
        except KafkaException as raised:
            raise unreachable(raised.args[0], self._settings) from None

    def _first_at(self, places: Sequence[TopicPartition], since: int | None) -> dict[tuple[str, int], int]:
        if since is None:
            return {}
        asked = [TopicPartition(one.topic, one.partition, since) for one in places]
        answered = self._consumer.offsets_for_times(asked, _ANSWER_S)
        return {(one.topic, one.partition): one.offset if one.offset >= 0 else _NONE_SO_LATE for one in answered}


def _place(text: str) -> int:
    """A partition or offset; -1 for what is none."""
    found = whole(text)
    return -1 if found is None else found
