"""Dead letters back to where they came from: written there, then noted as sent back, so that a redrive that is
interrupted sends some of them twice and none of them never. A repeated event changes nothing in the graph."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice

import msgspec
from confluent_kafka import KafkaError, Message

from memory_graph.config import Settings
from memory_graph.kafka.dead_letters import OURS, RETRY_COUNT
from memory_graph.kafka.letter_log import Letter, LetterLog, Place, Span, Waiting, headers_of, letter_of, note_of
from memory_graph.kafka.producer import AckedProducer, Record

_AT_ONCE = 500


class SentBack(msgspec.Struct, frozen=True):
    """What became of a letter. problem: why it is still where it was; None: it has been sent back."""

    letter: Letter
    retries: int
    problem: str | None = None


def redrive(
    log: LetterLog,
    settings: Settings,
    waiting: Waiting,
    chosen: Collection[Place],
    told: Callable[[SentBack], None],
) -> int:
    """Sends the chosen letters back, telling of each; yields how many went. Blocks until the brokers have all.

    Raises:
        KafkaUnreachable: the brokers stop to answer while letters are read.
    """
    wanted = frozenset(chosen)
    spans = _spans_of(wanted)
    return asyncio.run(_redrive(log, settings, waiting, wanted, spans, told))


async def _redrive(
    log: LetterLog,
    settings: Settings,
    waiting: Waiting,
    wanted: frozenset[Place],
    spans: Sequence[Span],
    told: Callable[[SentBack], None],
) -> int:
    producer = AckedProducer(settings)
    done: set[Place] = set()
    try:
        letters = ((letter_of(message), message) for message in log.read(spans))
        chosen = ((letter, message) for letter, message in letters if letter.place in wanted)
        while some := list(islice(chosen, _AT_ONCE)):
            for one in await _send(producer, some):
                if one.problem is None:
                    done.add(one.letter.place)
                told(one)
    finally:
        await producer.close()
        _move(log, waiting, done)
    return len(done)


async def _send(producer: AckedProducer, some: Sequence[tuple[Letter, Message]]) -> list[SentBack]:
    sendable = [(letter, message) for letter, message in some if letter.is_whole]
    refused = await producer.send(_sent_back(letter, message) for letter, message in sendable)
    gone = [letter for place, (letter, _) in enumerate(sendable) if place not in refused]
    unsaid = await producer.send(note_of(letter.place) for letter in gone)
    problems = {sendable[place][0].place: error for place, error in refused.items()}
    problems |= {gone[place].place: error for place, error in unsaid.items()}
    return [SentBack(letter, letter.retries + 1, _problem(letter, problems.get(letter.place))) for letter, _ in some]


def _problem(letter: Letter, error: KafkaError | None) -> str | None:
    if not letter.is_whole:
        origin = f"{letter.original_topic}/{letter.original_partition}/{letter.original_offset}"
        return f"its body did not fit here; it is at {origin} while that is kept"
    return None if error is None else error.str()


def _sent_back(letter: Letter, message: Message) -> Record:
    theirs = [(name, value) for name, value in headers_of(message) if name not in OURS]
    body = message.value()
    return Record(
        letter.original_topic,
        letter.key,
        body if isinstance(body, bytes) else None,
        (*theirs, (RETRY_COUNT, b"%d" % (letter.retries + 1))),
        letter.original_partition,
    )


def _spans_of(places: Collection[Place]) -> list[Span]:
    """The least that must be read to have them all."""
    found: dict[tuple[str, int], tuple[int, int]] = {}
    for topic, partition, offset in places:
        first, last = found.get((topic, partition), (offset, offset))
        found[topic, partition] = min(first, offset), max(last, offset)
    return [Span(*key, first, last + 1) for key, (first, last) in sorted(found.items())]


def _move(log: LetterLog, waiting: Waiting, done: Collection[Place]) -> None:
    """Puts the group before the first letter that waits; where none did, behind the notes that were written since."""
    begins: dict[tuple[str, int], int] = {}
    for letter in reversed(waiting.letters):
        if letter.place not in done:
            begins[letter.topic, letter.partition] = letter.offset
    through = {(span.topic, span.partition): span.end for span in waiting.spans}
    since = log.waiting(
        [
            msgspec.structs.replace(span, begin=through[span.topic, span.partition])
            for span in log.spans({topic for topic, _ in through})
            if (span.topic, span.partition) in through.keys() - begins.keys()
        ]
    )
    begins |= {(span.topic, span.partition): span.end for span in since.spans}
    for letter in reversed(since.letters):
        begins[letter.topic, letter.partition] = letter.offset
    log.move(begins)


def chosen_of(waiting: Waiting, places: Collection[Place], reason: str | None) -> Iterator[Letter]:
    """The waiting letters that are named, or have the reason, or, where neither is given, all."""
    for letter in waiting.letters:
        if (not places or letter.place in places) and reason in (None, letter.reason):
            yield letter
