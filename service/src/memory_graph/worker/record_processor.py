"""Processing of consumed records: they are decoded, submitted in the order they were read, and done once each is
durable or in the dead letters."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import msgspec
import structlog
from opentelemetry.trace import Span, StatusCode

from memory_graph.ingest.pipeline import Pipeline, held_bytes
from memory_graph.ingest.receiver import EventReceiver, Receipt
from memory_graph.ingest.telemetry.events import Rejected, TelemetryEvent
from memory_graph.ingest.topics import Decoder, Event
from memory_graph.kafka.dead_letters import RejectedRecord
from memory_graph.kafka.producer import ProducerClosed
from memory_graph.model.errors import StoreUnavailable
from memory_graph.telemetry.ingestion import IngestionMetrics
from memory_graph.telemetry.traces import Tracing
from memory_graph.worker.consumer_record import ConsumerRecord

SOURCE = "kafka"
"""The source label of a worker's events in metrics."""
_log = structlog.get_logger(__name__)


class RejectedRecordSink(Protocol):
    """The destination of records that can never be stored. `send` returns once they are durable there."""

    async def send(self, rejected: Sequence[RejectedRecord]) -> None: ...


class RecordProcessor:
    """Processes records batch by batch. The pipeline bounds their bytes: a batch that does not fit waits, and so do
    those behind it.

    decoders: by topic. tenant: of records that name none. failed: raises the error that ended the processor, if one
    did. in_flight: records that were put and have not ended; bytes: of their bodies. batch_ended: set at the end of
    each batch.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        metrics: IngestionMetrics,
        dead_letters: RejectedRecordSink,
        decoders: Mapping[str, Decoder],
        *,
        tenant: str,
        tracing: Tracing | None = None,
    ) -> None:
        self._receiver = EventReceiver(pipeline, metrics, SOURCE, self._decoded)
        self._dead_letters = dead_letters
        self._decoders = decoders
        self._tenant = tenant
        self._tracing = tracing or Tracing(None)
        self._batches: asyncio.Queue[tuple[Sequence[ConsumerRecord], Callable[[float], None], float]] = asyncio.Queue()
        self._ending: set[asyncio.Task[None]] = set()
        self._submitting = asyncio.create_task(self._submit_all(), name="kafka-intake")
        self._submitting.add_done_callback(self._ended)
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.in_flight = self.bytes = 0
        self.batch_ended = asyncio.Event()

    def put(self, records: Sequence[ConsumerRecord], done: Callable[[float], None]) -> None:
        """Add records in the order they were read. done: called once all of them are durable or in the dead letters,
        with the seconds this took; never, if the process ends before."""
        self.in_flight += len(records)
        self.bytes += _bytes(records)
        self._batches.put_nowait((records, done, time.monotonic()))

    async def wait_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for a condition that is checked whenever a batch ends. Returns False when it did not hold in time."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    self.batch_ended.clear()
                    await self.batch_ended.wait()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Cancel the records in flight: they are read again."""
        tasks = [self._submitting, *self._ending]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _submit_all(self) -> None:
        while True:
            records, done, at = await self._batches.get()
            span = self._tracing.start_batch(
                "kafka process",
                (record.trace for record in records if record.trace),
                {"messaging.system": "kafka", "messaging.batch.message_count": len(records)},
            )
            size = sum(held_bytes(len(record.body)) for record in records)
            await self._receiver.reserve(size)
            receipt = self._receiver.receive(records, size)
            ending = asyncio.create_task(self._end(records, receipt, done, at, span))
            self._ending.add(ending)
            ending.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        if not task.cancelled() and (error := task.exception()) and not self.failed.done():
            self.failed.set_exception(error)

    def _decoded(self, record: ConsumerRecord) -> tuple[str, Sequence[Event]]:
        tenant = record.tenant(self._tenant)
        try:
            return tenant, list(_traced(self._decoders[record.topic](record.body, record.content_type), record))
        except Rejected:
            raise
        except Exception as error:  # noqa: BLE001 - a record that breaks a decoder must not stop its partition
            _log.error("record failed", topic=record.topic, partition=record.partition, offset=record.offset,
                       error_type=type(error).__name__, exc_info=error)  # fmt: skip
            sentence = "the record could not be read; the worker's log says why"
            raise Rejected("", "", "failed", sentence) from None

    async def _end(
        self,
        records: Sequence[ConsumerRecord],
        receipt: Receipt,
        done: Callable[[float], None],
        at: float,
        span: Span,
    ) -> None:
        try:
            rejected = await receipt.rejected()
            if rejected:
                await self._dead_letters.send([records[index].rejected(problem) for index, problem in rejected.items()])
        except (StoreUnavailable, ProducerClosed) as error:
            span.set_status(StatusCode.ERROR, type(error).__name__)
            _log.warning("records are left to be read again", count=len(records), reason=str(error))
        else:
            done(time.monotonic() - at)
        finally:
            span.end()
            self.in_flight -= len(records)
            self.bytes -= _bytes(records)
            self.batch_ended.set()


def _bytes(records: Sequence[ConsumerRecord]) -> int:
    return sum(len(record.body) for record in records)


def _traced(events: Sequence[Event], record: ConsumerRecord) -> Iterator[Event]:
    """Yield the events, with the trace of the record's headers where they name none."""
    trace = record.trace if record.headers else None
    for event in events:
        if trace is not None and isinstance(event, TelemetryEvent) and not event.trace_id:
            yield msgspec.structs.replace(event, trace_id=trace[0], span_id=trace[1])
        else:
            yield event
