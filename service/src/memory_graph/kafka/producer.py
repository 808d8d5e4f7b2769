"""A producer that returns when every replica in sync has the records, however long the brokers are away meanwhile."""

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

MAX_RECORD_BYTES = 16 * 1024 * 1024
"""Limit of this client; the topic's own limit decides."""
_POLL_TIMEOUT_S = 0.2
_WAIT_NOTICE_AFTER_S = 5.0
"""How long brokers may take before a log line says that they are waited for."""
_log = structlog.get_logger(__name__)

Headers = Sequence[tuple[str, bytes | None]]


class ProducerRecord(msgspec.Struct, frozen=True, gc=False):
    """A record to be written. partition: -1 derives it from the key, as Java's clients do (murmur2)."""

    topic: str
    key: bytes | None
    body: bytes | None
    headers: Headers = ()
    partition: int = -1


class ProducerClosed(Exception):
    """The producer was closed before the brokers had everything."""


class AckedProducer:
    """A producer with a thread of its own. One `send` at a time is under way; the others wait for it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = producer_settings(settings) | {
            "partitioner": "murmur2_random",
            "message.max.bytes": MAX_RECORD_BYTES,
            "message.timeout.ms": 0,  # waits for brokers that are away: a gap in the order would be worse
            "topic.metadata.propagation.max.ms": 5_000,  # after this time a missing topic is an error
            "delivery.report.only.error": True,
            "error_cb": self._on_error,
        }
        self._producer: Producer | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kafka-producer")
        self._closing = threading.Event()
        self._last_error = ""

    async def send(self, records: Iterable[ProducerRecord]) -> Mapping[int, KafkaError]:
        """Write records, and return the errors of those that the brokers refuse, by index. Waits while no broker
        answers; cancelled, it discards the records that are not written yet. The iterable is consumed on the producer's
        thread.

        Raises `ProducerClosed`.
        """
        abandoned = threading.Event()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._send, records, abandoned)
        except asyncio.CancelledError:
            abandoned.set()
            raise

    async def close(self) -> None:
        """Close at once and discard the records that are not written yet. Idempotent."""
        self._closing.set()
        await asyncio.to_thread(self._thread.shutdown)
        self._producer = None

    def _send(self, records: Iterable[ProducerRecord], abandoned: threading.Event) -> Mapping[int, KafkaError]:
        if self._producer is None:
            self._producer = Producer(self._settings)
        refused: dict[int, KafkaError] = {}
        notice = _WaitNotice()
        for index, record in enumerate(records):
            self._enqueue(self._producer, record, index, refused, abandoned, notice)
        while self._producer.flush(_POLL_TIMEOUT_S):
            self._check_closed(abandoned, notice)
        notice.end()
        if any(error.fatal() or error.code() == KafkaError._FATAL for error in refused.values()):
            self._producer = None
        return refused

    def _enqueue(
        self,
        producer: Producer,
        record: ProducerRecord,
        index: int,
        refused: dict[int, KafkaError],
        abandoned: threading.Event,
        notice: _WaitNotice,
    ) -> None:
        while True:
            try:
                producer.produce(
                    record.topic,
                    record.body,
                    record.key,
                    record.partition,
                    on_delivery=partial(_on_delivery, refused, index),
                    headers=list(record.headers),
                )
            except BufferError:
                producer.poll(_POLL_TIMEOUT_S)
                self._check_closed(abandoned, notice)
            except KafkaException as error:
                refused[index] = error.args[0]
                return
            else:
                return

    def _check_closed(self, abandoned: threading.Event, notice: _WaitNotice) -> None:
        if self._closing.is_set() or abandoned.is_set():
            assert self._producer is not None
            self._producer.purge()
            self._producer = None  # a purged idempotent producer has lost count of its records
            raise ProducerClosed("the producer was closed before the brokers had everything")
        notice.log_once(self._last_error)

    def _on_error(self, error: KafkaError) -> None:
        if (
            error.code() != KafkaError._ALL_BROKERS_DOWN or not self._last_error
        ):  # that one says less than the error before it
            self._last_error = error.str()


class _WaitNotice:
    """Logs once that brokers are waited for, and once that they are back."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._is_logged = False

    def log_once(self, error: str) -> None:
        if not self._is_logged and time.monotonic() - self._since > _WAIT_NOTICE_AFTER_S:
            self._is_logged = True
            _log.warning("waiting for Kafka to take records", reason=error)

    def end(self) -> None:
        if self._is_logged:
            _log.info("Kafka takes records again", seconds=round(time.monotonic() - self._since, 1))


def _on_delivery(refused: dict[int, KafkaError], index: int, error: KafkaError | None, _: object) -> None:
    if error is not None:
        refused[index] = error
