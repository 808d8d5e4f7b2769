"""Sending dead letters back to their topics. Each is written there, and marked afterwards: a redrive that is
interrupted sends some of them twice and leaves none out. A repeated event changes nothing in the graph."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice

import msgspec
from confluent_kafka import KafkaError, Message

from memory_graph.config import Settings
from memory_graph.kafka.dead_letters import DLQ_HEADERS, RETRY_COUNT
from memory_graph.kafka.dlq_reader import (
    Backlog,
    DeadLetter,
    DeadLetterReader,
    OffsetRange,
    RecordId,
    message_headers,
    parse_dead_letter,
    redrive_marker,
)
from memory_graph.kafka.producer import AckedProducer, ProducerRecord

_BATCH_SIZE = 500


class RedriveResult(msgspec.Struct, frozen=True):
    """The result of a redrive for one dead letter. problem: why it waits as before; None: it has been sent back."""

    dead_letter: DeadLetter
    retries: int
    problem: str | None = None


def redrive(
    reader: DeadLetterReader,
    settings: Settings,
    backlog: Backlog,
    selected: Collection[RecordId],
    on_result: Callable[[RedriveResult], None],
) -> int:
    """Send the selected dead letters back, and return how many were. Blocks until the brokers have all of them.

    Raises:
        KafkaUnreachable: the brokers stop to answer while dead letters are read.
    """
    return asyncio.run(_redrive(reader, settings, backlog, frozenset(selected), on_result))


async def _redrive(
    reader: DeadLetterReader,
    settings: Settings,
    backlog: Backlog,
    selected: frozenset[RecordId],
    on_result: Callable[[RedriveResult], None],
) -> int:
    producer = AckedProducer(settings)
    redriven: set[RecordId] = set()
    try:
        read = ((parse_dead_letter(message), message) for message in reader.read(_ranges_of(selected)))
        pairs = ((dead_letter, message) for dead_letter, message in read if dead_letter.record_id in selected)
        while batch := list(islice(pairs, _BATCH_SIZE)):
            for result in await _send(producer, batch):
                if result.problem is None:
                    redriven.add(result.dead_letter.record_id)
                on_result(result)
    finally:
        await producer.close()
        _move_group(reader, backlog, redriven)
    return len(redriven)


async def _send(producer: AckedProducer, batch: Sequence[tuple[DeadLetter, Message]]) -> list[RedriveResult]:
    sendable = [(dead_letter, message) for dead_letter, message in batch if dead_letter.is_whole]
    refused = await producer.send(_original_record(dead_letter, message) for dead_letter, message in sendable)
    written = [dead_letter for index, (dead_letter, _) in enumerate(sendable) if index not in refused]
    unmarked = await producer.send(redrive_marker(dead_letter.record_id) for dead_letter in written)
    errors = {sendable[index][0].record_id: error for index, error in refused.items()}
    errors |= {written[index].record_id: error for index, error in unmarked.items()}
    return [
        RedriveResult(dead_letter, dead_letter.retries + 1, _problem(dead_letter, errors.get(dead_letter.record_id)))
        for dead_letter, _ in batch
    ]


def _problem(dead_letter: DeadLetter, error: KafkaError | None) -> str | None:
    if not dead_letter.is_whole:
        origin = f"{dead_letter.original_topic}/{dead_letter.original_partition}/{dead_letter.original_offset}"
        return f"its body did not fit here; it is at {origin} while that is kept"
    return None if error is None else error.str()


def _original_record(dead_letter: DeadLetter, message: Message) -> ProducerRecord:
    headers = [(name, value) for name, value in message_headers(message) if name not in DLQ_HEADERS]
    body = message.value()
    return ProducerRecord(
        dead_letter.original_topic,
        dead_letter.key,
        body if isinstance(body, bytes) else None,
        (*headers, (RETRY_COUNT, b"%d" % (dead_letter.retries + 1))),
        dead_letter.original_partition,
    )


def _ranges_of(record_ids: Collection[RecordId]) -> list[OffsetRange]:
    """Return the smallest ranges that hold all of the records."""
    bounds: dict[tuple[str, int], tuple[int, int]] = {}
    for topic, partition, offset in record_ids:
        first, last = bounds.get((topic, partition), (offset, offset))
        bounds[topic, partition] = min(first, offset), max(last, offset)
    return [OffsetRange(*key, first, last + 1) for key, (first, last) in sorted(bounds.items())]


def _move_group(reader: DeadLetterReader, backlog: Backlog, redriven: Collection[RecordId]) -> None:
    """Move the group to the first dead letter that still waits; where none does, behind the markers written since."""
    begins: dict[tuple[str, int], int] = {}
    for dead_letter in reversed(backlog.dead_letters):
        if dead_letter.record_id not in redriven:
            begins[dead_letter.topic, dead_letter.partition] = dead_letter.offset
    read_until = {(range.topic, range.partition): range.end for range in backlog.ranges}
    since = reader.backlog(
        [
            msgspec.structs.replace(range, begin=read_until[range.topic, range.partition])
            for range in reader.ranges({topic for topic, _ in read_until})
            if (range.topic, range.partition) in read_until.keys() - begins.keys()
        ]
    )
    begins |= {(range.topic, range.partition): range.end for range in since.ranges}
    for dead_letter in reversed(since.dead_letters):
        begins[dead_letter.topic, dead_letter.partition] = dead_letter.offset
    reader.move_group(begins)


def select(backlog: Backlog, record_ids: Collection[RecordId], reason: str | None) -> Iterator[DeadLetter]:
    """Yield the dead letters of the backlog that are named, or have the reason; where neither is given, all."""
    for dead_letter in backlog.dead_letters:
        if (not record_ids or dead_letter.record_id in record_ids) and reason in (None, dead_letter.reason):
            yield dead_letter
