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

from memory_graph.api.rest.body import RESERVE_TIMEOUT_S, busy
from memory_graph.api.rest.inflate import DamagedGzip, InflatedTooLarge, inflated
from memory_graph.api.rest.problems import Problem
from memory_graph.ingest.json_text import elements, extract_array, syntax_problem, without_bom
from memory_graph.ingest.pipeline import Pipeline, held_bytes
from memory_graph.ingest.receiver import EventReceiver
from memory_graph.ingest.telemetry.decode import from_json
from memory_graph.ingest.telemetry.events import Rejected, TelemetryEvent
from memory_graph.model.errors import StoreUnavailable
from memory_graph.model.ids import new_id
from memory_graph.telemetry.ingestion import IngestionMetrics

SOURCE = "rest"
MAX_BATCH_EVENTS = 10_000
"""Most events of a batch."""
MAX_FAILURES = 100
"""Most failures that an answer lists."""
STORE_RETRY_AFTER_S = 5
"""The Retry-After header while the store is unavailable, in seconds."""
MAX_DELAY_S = 2.0
"""Longest delay of accepted events. Beyond it batches are refused unread: reading those that will not be answered in
time would leave no time for those that will."""


class _BatchBody(msgspec.Struct):
    """The body of a batch. events: an array, or base64 of its gzip if `compression` says so."""

    events: list[msgspec.Raw] | str
    batch_id: str | None = ""
    compression: Literal["gzip", "none", ""] | None = None


class FailedEvent(msgspec.Struct, frozen=True):
    """An event that never will be stored as it is. index: its position in the batch."""

    index: int
    event_id: str
    error: str


class BatchResponse(msgspec.Struct, frozen=True):
    """The outcome of a batch. status: completed, partial or failed; failures: the first hundred."""

    batch_id: str
    status: str
    processed_count: int
    failed_count: int
    processing_time_ms: float
    failures: list[FailedEvent]


_decode = msgspec.json.Decoder(_BatchBody).decode
_decode_events = msgspec.json.Decoder(list[msgspec.Raw]).decode


class BatchEndpoint:
    """The ingestion of batches. max_wait_s: longest wait for the store. limit: most bytes of inflated events."""

    def __init__(self, pipeline: Pipeline, metrics: IngestionMetrics, *, limit: int, max_wait_s: float) -> None:
        self._pipeline = pipeline
        self._metrics = metrics
        self._limit = limit
        self._max_wait_s = max_wait_s

    def admit(self) -> None:
        """Raise `Problem` if a batch would not be stored soon."""
        if self._pipeline.store_is_unavailable:
            raise _store_unavailable()
        if self._pipeline.delay_s(SOURCE) > MAX_DELAY_S:
            raise busy()

    async def take(self, body: bytes, tenant: str) -> BatchResponse:
        """Store a batch, and answer once every event is durable or rejected for good. After a `Problem` some events may
        be stored; all of them may be sent again."""
        began = time.monotonic()
        batch, sent = await self._decoded(body)
        size = held_bytes(sum(map(len, sent)))

        def decoded(event: bytes) -> tuple[str, Sequence[TelemetryEvent]]:
            return tenant, (_event(event),)

        receiver = EventReceiver(self._pipeline, self._metrics, SOURCE, decoded)
        try:
            async with asyncio.timeout(RESERVE_TIMEOUT_S):
                await receiver.reserve(size)
        except TimeoutError:
            raise _store_unavailable() if self._pipeline.store_is_unavailable else busy() from None
        receipt = receiver.receive(sent, size)
        try:
            async with asyncio.timeout(self._max_wait_s):
                rejected = await receipt.rejected()
        except (StoreUnavailable, TimeoutError):
            raise _store_unavailable() from None
        finally:
            receipt.cancel()
        failures = [FailedEvent(index, problem.event_id, str(problem)) for index, problem in rejected.items()]
        return BatchResponse(
            batch_id=batch.batch_id or new_id(),
            status="completed" if not failures else "failed" if len(failures) == len(sent) else "partial",
            processed_count=len(sent) - len(failures),
            failed_count=len(failures),
            processing_time_ms=round((time.monotonic() - began) * 1000, 3),
            failures=failures[:MAX_FAILURES],
        )

    async def _decoded(self, body: bytes) -> tuple[_BatchBody, list[bytes]]:
        body = without_bom(body)
        try:
            batch = _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            batch = await asyncio.to_thread(_batch_of_fragments, body, error)
        events = batch.events if isinstance(batch.events, list) else await self._unpacked(batch)
        if len(events) > MAX_BATCH_EVENTS:
            raise _bad_request(f"the batch has {len(events):,} events; send at most {MAX_BATCH_EVENTS:,}")
        return batch, [bytes(event) for event in events]

    async def _unpacked(self, batch: _BatchBody) -> list[msgspec.Raw]:
        assert isinstance(batch.events, str)
        if batch.compression != "gzip":
            raise _bad_request('events is text: give an array, or base64 of a gzip of one with compression "gzip"')
        try:
            array = without_bom(inflated(base64.b64decode(batch.events, validate=True), self._limit))
        except (binascii.Error, ValueError, DamagedGzip) as error:
            raise _bad_request(f"events is no base64 of a gzip: {error}") from None
        except InflatedTooLarge:
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


def _batch_of_fragments(body: bytes, error: Exception) -> _BatchBody:
    """Decode a batch that some of its events make no JSON: those fail alone, each by its index."""
    try:
        rest, events = extract_array(body, "events")
        batch = _decode(rest)
    except (ValueError, RecursionError):
        raise _bad_request(f"the body is no batch: {syntax_problem(body, error)}") from None
    batch.events = [msgspec.Raw(event) for event in events]
    return batch


def _elements(array: bytes, error: Exception) -> list[msgspec.Raw]:
    """Do the same for events that came compressed."""
    try:
        fragments, end = elements(array, len(array) - len(array.lstrip()))
    except ValueError:
        fragments, end = [], 0
    if not end or array[end:].strip():
        raise _bad_request(f"the events are no array: {syntax_problem(array, error)}")
    return [msgspec.Raw(event) for event in fragments]


def _bad_request(detail: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, detail)


def _store_unavailable() -> Problem:
    detail = "the store cannot be reached now; send the whole batch again later, what is stored of it stays so"
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_after_s=STORE_RETRY_AFTER_S)
