"""Dead letters of events that did not come by Kafka, or are given up long after: they go where they would have come
from, so that one list has all and a redrive sends them to the workers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Self

import structlog

from memory_graph.config import Settings
from memory_graph.ingest.telemetry.dead_letters import ExpiredHandler, RejectedHandler
from memory_graph.ingest.telemetry.events import Rejected
from memory_graph.ingest.topics import topic_of
from memory_graph.kafka.dead_letters import DeadLetter, DeadLetterQueue
from memory_graph.kafka.producer import Closed

MOST_BYTES = 16 * 1024 * 1024
"""Of what a client was told is rejected, and is not in Kafka yet."""
_LAST_S = 5.0
_EACH_BYTES = 1024
_log = structlog.get_logger(__name__)


def letter_of(rejected: Rejected, tenant: str, topics: Mapping[str, str]) -> DeadLetter:
    """A rejected event as a dead letter. topics: names of their own, by the contract's."""
    topic = topic_of(rejected.event_type)
    return DeadLetter(
        topic=topics.get(topic, topic),
        key=rejected.event_id.encode() or None,
        body=rejected.body,
        headers=(("tenant-id", tenant.encode()), ("content-type", rejected.content_type.encode())),
        reason=rejected.reason,
        sentence=str(rejected),
    )


def given_up(queue: DeadLetterQueue, settings: Settings, counted: RejectedHandler) -> ExpiredHandler:
    """For events that were acknowledged: returns once they are with the dead letters."""
    topics = _own_names(settings)

    async def take(tenant: str, rejected: Sequence[Rejected]) -> None:
        await queue.send([letter_of(one, tenant, topics) for one in rejected])
        counted(rejected)

    return take


class Rejections:
    """For events that were never acknowledged: their senders are told, and do not wait for Kafka. While that is away
    some are kept; what does not fit into `MOST_BYTES` is counted and logged alone. An async context manager.

    task: writes them, until the context ends.
    """

    def __init__(self, settings: Settings, counted: RejectedHandler, tenant: str) -> None:
        self._counted = counted
        self._tenant = tenant
        self._topics = _own_names(settings)
        self._queue = DeadLetterQueue(settings)
        self._letters: deque[DeadLetter] = deque()
        self._bytes = 0
        self._full = False
        self._arrived = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self._queue.__aenter__()
        self.task = asyncio.create_task(self._write(), name="rejections")
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._letters.append(_END)
        self._arrived.set()
        await asyncio.wait({self.task}, timeout=_LAST_S)
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self._queue.__aexit__()

    def take(self, rejected: Sequence[Rejected]) -> None:
        """Is the `DeadLetters` of a pipeline."""
        self._counted(rejected)
        letters = [letter_of(one, self._tenant, self._topics) for one in rejected]
        left_out = 0
        for letter in letters:
            size = _size(letter)
            if self._bytes + size > MOST_BYTES:
                left_out += 1
                continue
            self._bytes += size
            self._letters.append(letter)
        if left_out and not self._full:
            _log.error("rejected events are not kept: Kafka has not taken those before", bytes=self._bytes,
                       count=left_out)  # fmt: skip
        self._full = bool(left_out)
        self._arrived.set()

    async def _write(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            letters = list(self._letters)
            self._letters.clear()
            ended = bool(letters) and letters[-1] is _END
            wanted = [letter for letter in letters if letter is not _END]
            await self._send(wanted)
            if ended:
                return

    async def _send(self, letters: Sequence[DeadLetter]) -> None:
        """Where they cannot be written together, each alone: one that cannot be written at all must not end the
        others. Twice written is harmless."""
        if not letters:
            return
        try:
            await self._queue.send(letters)
        except Closed:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, what is rejected next is to be kept
            _log.error("dead letters not written", count=len(letters), error_type=type(error).__name__, exc_info=error)
            if len(letters) > 1:
                for letter in letters:
                    await self._send([letter])
                return
        self._bytes -= sum(map(_size, letters))


_END = DeadLetter(topic="", key=None, body=None, reason="", sentence="")


def _size(letter: DeadLetter) -> int:
    return len(letter.body or b"") + _EACH_BYTES


def _own_names(settings: Settings) -> dict[str, str]:
    return {contract: name for name, contract in settings.kafka_topics.items()}
