"""POST /api/v1/telemetry/batch (contract §4)."""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Literal

import msgspec

from memory_graph.api.rest.body import BUSY_S, busy
from memory_graph.api.rest.inflate import Damaged, TooLarge, inflated
from memory_graph.api.rest.problems import Problem
from memory_graph.ingest.json_text import elements, fault, taken_out, without_bom
from memory_graph.ingest.telemetry.decode import from_json
from memory_graph.ingest.telemetry.events import Rejected, TelemetryEvent
from memory_graph.ingest.telemetry.pipeline import Pipeline, held_bytes
from memory_graph.ingest.telemetry.receiver import EventReceiver
from memory_graph.model.errors import StoreUnavailable
from memory_graph.model.ids import new_id
from memory_graph.telemetry.ingestion import IngestionMetrics

SOURCE = "rest"
MAX_BATCH_EVENTS = 10_000
"""Most events of a batch."""
MAX_FAILURES = 100
"""Most events that an answer tells the fault of."""
AWAY_RETRY_S = 5
"""When to send again what the store could not take."""
MAX_DELAY_S = 2.0
"""How long what is accepted may wait. Beyond it batches are refused unread: to read what will not be answered in time
would leave no time for what will."""


class _Batch(msgspec.Struct):
    """events: an array; or text, base64 of its gzip, and then compression says so."""

    events: list[msgspec.Raw] | str
    batch_id: str | None = ""
    compression: Literal["gzip", "none", ""] | None = None


class Failed(msgspec.Struct, frozen=True):
    """An event that never will be stored as it is. index: its place in the batch."""

    index: int
    event_id: str
    error: str


class Answer(msgspec.Struct, frozen=True):
    """What came of a batch. status: completed, partial or failed; failures: the first hundred."""

    batch_id: str
    status: str
    processed_count: int
    failed_count: int
    processing_time_ms: float
    failures: list[Failed]


_decode = msgspec.json.Decoder(_Batch).decode
_decode_events = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Batches:
    """patience_s: how long a batch waits to be stored, in seconds. limit: most bytes that events may inflate to."""

    def __init__(self, pipeline: Pipeline, metrics: IngestionMetrics, *, limit: int, patience_s: float) -> None:
        self._pipeline = pipeline
        self._metrics = metrics
        self._limit = limit
        self._patience_s = patience_s

    def admit(self) -> None:
        """Raises `Problem` while a batch would not be stored soon."""
        if self._pipeline.store_is_away:
            raise _away()
        if self._pipeline.delay_s(SOURCE) > MAX_DELAY_S:
            raise busy()

    async def take(self, body: bytes, tenant: str) -> Answer:
        """Answers once every event is durable or never will be. Raises `Problem`: then events may be stored, and all
        of them may be sent again."""
        began = time.monotonic()
        batch, sent = await self._decoded(body)
        size = held_bytes(sum(map(len, sent)))

        def decoded(event: bytes) -> tuple[str, Sequence[TelemetryEvent]]:
            return tenant, (_event(event),)

        receiver = EventReceiver(self._pipeline, self._metrics, SOURCE, decoded)
        try:
            async with asyncio.timeout(BUSY_S):
                await receiver.reserve(size)
        except TimeoutError:
            raise _away() if self._pipeline.store_is_away else busy() from None
        receipt = receiver.receive(sent, size)
        try:
            async with asyncio.timeout(self._patience_s):
                rejected = await receipt.rejected()
        except (StoreUnavailable, TimeoutError):
            raise _away() from None
        finally:
            receipt.cancel()
        failures = [Failed(index, problem.event_id, str(problem)) for index, problem in rejected.items()]
        return Answer(
            batch_id=batch.batch_id or new_id(),
            status="completed" if not failures else "failed" if len(failures) == len(sent) else "partial",
            processed_count=len(sent) - len(failures),
            failed_count=len(failures),
            processing_time_ms=round((time.monotonic() - began) * 1000, 3),
            failures=failures[:MAX_FAILURES],
        )

    async def _decoded(self, body: bytes) -> tuple[_Batch, list[bytes]]:
        body = without_bom(body)
        try:
            batch = _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            batch = await asyncio.to_thread(_apart, body, error)
        events = batch.events if isinstance(batch.events, list) else await self._unpacked(batch)
        if len(events) > MAX_BATCH_EVENTS:
            raise _bad(f"the batch has {len(events):,} events; send at most {MAX_BATCH_EVENTS:,}")
        return batch, [bytes(event) for event in events]

    async def _unpacked(self, batch: _Batch) -> list[msgspec.Raw]:
        assert isinstance(batch.events, str)
        if batch.compression != "gzip":
            raise _bad('events is text: give an array, or base64 of a gzip of one with compression "gzip"')
        try:
            array = without_bom(inflated(base64.b64decode(batch.events, validate=True), self._limit))
        except (binascii.Error, ValueError, Damaged) as error:
            raise _bad(f"events is no base64 of a gzip: {error}") from None
        except TooLarge:
            detail = f"events inflates to more than {self._limit:,} bytes; send smaller batches"
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail) from None
        try:
            return _decode_events(array)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return await asyncio.to_thread(_elements, array, error)


def _event(body: bytes) -> TelemetryEvent:
    try:
        return from_json(body, batch=True)
    except Rejected as problem:
        problem.body = body
        raise


def _apart(body: bytes, error: Exception) -> _Batch:
    """A batch that is no JSON for what some of its events say: they are to fail alone, each by its index."""
    try:
        rest, events = taken_out(body, "events")
        batch = _decode(rest)
    except (ValueError, RecursionError):
        raise _bad(f"the body is no batch: {fault(body, error)}") from None
    batch.events = [msgspec.Raw(event) for event in events]
    return batch


def _elements(array: bytes, error: Exception) -> list[msgspec.Raw]:
    """The same of events that came compressed."""
    try:
        found, end = elements(array, len(array) - len(array.lstrip()))
    except ValueError:
        found, end = [], 0
    if not end or array[end:].strip():
        raise _bad(f"the events are no array: {fault(array, error)}")
    return [msgspec.Raw(event) for event in found]


def _bad(detail: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, detail)


def _away() -> Problem:
    detail = "the store cannot be reached now; send the whole batch again later, what is stored of it stays so"
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_after_s=AWAY_RETRY_S)
