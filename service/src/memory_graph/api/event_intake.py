"""One stream of events on its way in: read while there is room, acknowledged in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Self

import msgspec
from google.protobuf.message import DecodeError

from memory_graph.api.rpc import Call
from memory_graph.api.status import Draining
from memory_graph.flow.budget import ByteBudget
from memory_graph.gen.llm.observatory.v1 import telemetry_stream_pb2 as pb
from memory_graph.ingest.event import Event
from memory_graph.ingest.telemetry.decode import apart, event_id, from_message, from_protobuf
from memory_graph.ingest.telemetry.events import MAX_EVENT_ID, Rejected
from memory_graph.ingest.telemetry.pipeline import Pipeline, held_bytes
from memory_graph.ingest.telemetry.receiver import EventReceiver, Receipt
from memory_graph.ingest.topics import PROTOBUF
from memory_graph.model.errors import Invalid, Violation
from memory_graph.telemetry.ingestion import IngestionMetrics

SOURCE = "grpc"
MAX_MESSAGE_EVENTS = 10_000
"""Most events of one message: each is answered for itself, also where all of them are nothing."""


class _Message(msgspec.Struct):
    """A message between its arrival and its acknowledgements. ids: of its events, in order."""

    ids: list[str]
    receipt: Receipt
    size: int


class Intake:
    """Reads in a task of its own, so that a client may send on while it waits for acknowledgements, until it has sent
    `max_bytes` that it has not read the acknowledgements of, or the pipeline is full: then its flow control stops it.

    An async context manager; leaving it stops reading. What has been accepted by then is stored all the same.
    """

    def __init__(self, pipeline: Pipeline, metrics: IngestionMetrics, call: Call, max_bytes: int) -> None:
        self._pipeline = pipeline
        self._receiver = EventReceiver(pipeline, metrics, SOURCE, self._decoded)
        self._call = call
        self._window = ByteBudget(max_bytes)
        self._messages: asyncio.Queue[_Message | None] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._answering: _Message | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in self._tasks:
            task.cancel()
        while not self._messages.empty():
            self._forget(self._messages.get_nowait())
        self._forget(self._answering)

    def read(self, requests: AsyncIterator[bytes]) -> None:
        """Begins to read; ends at the end of the requests, or when the server drains."""
        reading = asyncio.create_task(self._read(requests), name="telemetry-intake")
        self._tasks = [reading, asyncio.create_task(self._stop_when_draining(reading))]

    async def responses(self) -> AsyncIterator[pb.EventResponse]:
        """One for each event, in order, once it is durable or never will be.

        Raises:
            StoreUnavailable: when the store was away for too long.
            Invalid: after a message that is none.
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
                await self._window.reserve(size)
                await self._receiver.reserve(size)
                self._messages.put_nowait(self._accept(raw, size))
        finally:
            self._messages.put_nowait(None)

    def _accept(self, raw: bytes, size: int) -> _Message:
        try:
            sent = _events(raw)
        except Invalid:
            self._pipeline.release(size)
            raise
        ids = [event_id(one)[:MAX_EVENT_ID] for one in sent]
        return _Message(ids, self._receiver.receive(sent, size), size)

    def _decoded(self, sent: pb.Event | bytes) -> tuple[str, Sequence[Event]]:
        try:
            event = from_protobuf(sent) if isinstance(sent, bytes) else from_message(sent)
        except Rejected as problem:
            problem.body = sent if isinstance(sent, bytes) else sent.SerializeToString()
            problem.content_type = PROTOBUF
            raise
        return self._call.tenant, (event,)

    async def _stop_when_draining(self, reading: asyncio.Task[None]) -> None:
        await self._call.draining.wait()
        reading.cancel()

    @staticmethod
    def _forget(message: _Message | None) -> None:
        if message is not None:
            message.receipt.cancel()


def _events(raw: bytes) -> Sequence[pb.Event | bytes]:
    """The events of a message; where it does not decode for what one of them says, each by itself."""
    try:
        sent: Sequence[pb.Event | bytes] = pb.EventRequest.FromString(raw).events
    except DecodeError as error:
        sent = apart(raw)
        if not sent:
            raise Invalid(Violation("request", f"is no EventRequest message: {error}")) from None
    if len(sent) > MAX_MESSAGE_EVENTS:
        raise Invalid(Violation("events", f"are {len(sent):,}; send at most {MAX_MESSAGE_EVENTS:,} in a message"))
    return sent
