"""Writing records: done when every replica in sync has them, however long the brokers are away meanwhile."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import msgspec
import structlog
from confluent_kafka import KafkaError, KafkaException, Producer

from memory_graph.config import Settings
from memory_graph.kafka.settings import producer_settings

LARGEST_BYTES = 16 * 1024 * 1024
"""What this side lets pass; the topic's own limit decides."""
_TICK_S = 0.2
_QUIET_S = 5.0
"""How long brokers may take before a log line says that they are waited for."""
_log = structlog.get_logger(__name__)

Headers = Sequence[tuple[str, bytes | None]]


class Record(msgspec.Struct, frozen=True, gc=False):
    """What is written. partition: -1 lets the key choose, as Java's clients do (murmur2)."""

    topic: str
    key: bytes | None
    body: bytes | None
    headers: Headers = ()
    partition: int = -1


class Closed(Exception):
    """The producer was closed before the brokers had everything."""


class AckedProducer:
    """A producer with a thread of its own. One `send` at a time is under way; the others wait for it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = producer_settings(settings) | {
            "partitioner": "murmur2_random",
            "message.max.bytes": LARGEST_BYTES,
            "message.timeout.ms": 0,  # brokers that are away are waited for: a gap in the order would be worse
            "topic.metadata.propagation.max.ms": 5_000,  # then a topic that is not there is said to be missing
            "delivery.report.only.error": True,
            "error_cb": self._heard,
        }
        self._producer: Producer | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kafka-producer")
        self._closing = threading.Event()
        self._trouble = ""

    async def send(self, records: Iterable[Record]) -> Mapping[int, KafkaError]:
        """Returns once all is written, with those that the brokers refuse, by place. While no broker answers it waits;
        cancelled, it forgets what was not written yet. The records are made one by one on its thread.

        Raises `Closed`.
        """
        abandoned = threading.Event()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._send, records, abandoned)
        except asyncio.CancelledError:
            abandoned.set()
            raise

    async def close(self) -> None:
        """Ends at once; what is not written by now is not. Idempotent."""
        self._closing.set()
        await asyncio.to_thread(self._thread.shutdown)
        self._producer = None

    def _send(self, records: Iterable[Record], abandoned: threading.Event) -> Mapping[int, KafkaError]:
        if self._producer is None:
            self._producer = Producer(self._settings)
        refused: dict[int, KafkaError] = {}
        waiting = _Waiting()
        for place, record in enumerate(records):
            self._enqueue(self._producer, record, place, refused, abandoned, waiting)
        while self._producer.flush(_TICK_S):
            self._go_on(abandoned, waiting)
        waiting.over()
        if any(error.fatal() or error.code() == KafkaError._FATAL for error in refused.values()):
            self._producer = None
        return refused

    def _enqueue(
        self,
        producer: Producer,
        record: Record,
        place: int,
        refused: dict[int, KafkaError],
        abandoned: threading.Event,
        waiting: _Waiting,
    ) -> None:
        while True:
            try:
                producer.produce(
                    record.topic,
                    record.body,
                    record.key,
                    record.partition,
                    on_delivery=partial(_told, refused, place),
                    headers=list(record.headers),
                )
            except BufferError:
                producer.poll(_TICK_S)
                self._go_on(abandoned, waiting)
            except KafkaException as error:
                refused[place] = error.args[0]
                return
            else:
                return

    def _go_on(self, abandoned: threading.Event, waiting: _Waiting) -> None:
        if self._closing.is_set() or abandoned.is_set():
            assert self._producer is not None
            self._producer.purge()
            self._producer = None  # a purged idempotent producer has lost count of its records
            raise Closed("the producer was closed before the brokers had everything")
        waiting.tell(self._trouble)

    def _heard(self, error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN or not self._trouble:  # which says less than what it follows
            self._trouble = error.str()


class _Waiting:
    """Tells once of brokers that are waited for, and once of their return."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._told = False

    def tell(self, trouble: str) -> None:
        if not self._told and time.monotonic() - self._since > _QUIET_S:
            self._told = True
            _log.warning("waiting for Kafka to take records", reason=trouble)

    def over(self) -> None:
        if self._told:
            _log.info("Kafka takes records again", seconds=round(time.monotonic() - self._since, 1))


def _told(refused: dict[int, KafkaError], place: int, error: KafkaError | None, _: object) -> None:
    if error is not None:
        refused[place] = error
