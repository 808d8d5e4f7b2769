"""The server side of TelemetryStream.StreamEvents: reads while there is room and acknowledges in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Self

import msgspec

from memory_graph.api.rpc import Call
from memory_graph.api.status import Draining
from memory_graph.api.telemetry_requests import message_events
from memory_graph.flow.byte_semaphore import ByteSemaphore
from memory_graph.gen.llm.observatory.v1 import telemetry_stream_pb2 as pb
from memory_graph.ingest.pipeline import Pipeline, held_bytes
from memory_graph.ingest.receiver import EventReceiver, Receipt
from memory_graph.ingest.telemetry.decode import event_id, from_message, from_protobuf
from memory_graph.ingest.telemetry.events import MAX_EVENT_ID, Rejected
from memory_graph.ingest.topics import PROTOBUF, Event
from memory_graph.model.errors import Invalid
from memory_graph.telemetry.ingestion import IngestionMetrics

SOURCE = "grpc"


class _Message(msgspec.Struct):
    """A message that is not acknowledged yet. ids: the ids of its events, in order."""

    ids: list[str]
    receipt: Receipt
    size: int


class EventStreamReceiver:
    """The receiving side of one event stream: a reader task and the acknowledgements in order.

    A client may send on while it waits for acknowledgements. Flow control stops it once `max_bytes` of what it sent are
    not acknowledged yet, or the pipeline is full. An async context manager: leaving it stops reading, and events that
    were accepted by then are stored all the same.
    """

    def __init__(self, pipeline: Pipeline, metrics: IngestionMetrics, call: Call, max_bytes: int) -> None:
        self._pipeline = pipeline
        self._receiver = EventReceiver(pipeline, metrics, SOURCE, self._decode)
        self._call = call
        self._window = ByteSemaphore(max_bytes)
        self._messages: asyncio.Queue[_Message | None] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._answering: _Message | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in self._tasks:
            task.cancel()
        while not self._messages.empty():
            self._cancel(self._messages.get_nowait())
        self._cancel(self._answering)

    def read(self, requests: AsyncIterator[bytes]) -> None:
        """Start to read, until the requests end or the server drains."""
        reading = asyncio.create_task(self._read(requests), name="telemetry-stream-receiver")
        self._tasks = [reading, asyncio.create_task(self._stop_when_draining(reading))]

    async def responses(self) -> AsyncIterator[pb.EventResponse]:
        """Yield one response for each event, in order, once it is durable or rejected for good.

        Raises:
            StoreUnavailable: when the store was away for too long.
            Invalid: for a message that does not decode or is too large.
            Draining: when the server shuts down; all that was accepted has been answered.
        """
        while (message := await self._messages.get()) is not None:
            self._answering = message
            ids = iter(message.ids)
            async for rejected in message.receipt:
                if rejected is None:
                    yield pb.EventResponse(ack_id=next(ids), success=True)
                else:
                    yield pb.EventResponse(ack_id=next(ids), success=False, error_message=str(rejected))
            self._window.release(message.size)
        reading = self._tasks[0]
        if reading.cancelled():
            raise Draining
        reading.result()

    async def _read(self, requests: AsyncIterator[bytes]) -> None:
        try:
            async for raw in requests:
                size = held_bytes(len(raw))
                await self._window.acquire(size)
                await self._receiver.reserve(size)
                self._messages.put_nowait(self._accept(raw, size))
        finally:
            self._messages.put_nowait(None)

    def _accept(self, raw: bytes, size: int) -> _Message:
        try:
            events = message_events(raw)
        except Invalid:
            self._pipeline.release(size)
            raise
        ids = [event_id(event)[:MAX_EVENT_ID] for event in events]
        return _Message(ids, self._receiver.receive(events, size), size)

    def _decode(self, message: pb.Event | bytes) -> tuple[str, Sequence[Event]]:
        try:
            event = from_protobuf(message) if isinstance(message, bytes) else from_message(message)
        except Rejected as problem:
            problem.body = message if isinstance(message, bytes) else message.SerializeToString()
            problem.content_type = PROTOBUF
            raise
        return self._call.tenant, (event,)

    async def _stop_when_draining(self, reading: asyncio.Task[None]) -> None:
        await self._call.draining.wait()
        reading.cancel()

    @staticmethod
    def _cancel(message: _Message | None) -> None:
        if message is not None:
            message.receipt.cancel()
