"""One stream of events on its way in: read while there is room, acknowledged in order."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Self

import msgspec
from google.protobuf.message import DecodeError

from memory_graph.api.rpc import Call
from memory_graph.api.status import Draining
from memory_graph.flow.budget import ByteBudget
from memory_graph.gen.llm.observatory.v1 import telemetry_stream_pb2 as pb
from memory_graph.ingest.telemetry.decode import from_message
from memory_graph.ingest.telemetry.events import MAX_EVENT_ID, Rejected, TelemetryEvent
from memory_graph.ingest.telemetry.pipeline import MAX_EVENTS, Outcome, Pipeline, held_bytes
from memory_graph.ingest.topics import PROTOBUF
from memory_graph.model.errors import Invalid, Violation
from memory_graph.telemetry.ingestion import IngestionMetrics

SOURCE = "grpc"
MAX_MESSAGE_EVENTS = 10_000
"""Most events of one message: each is answered for itself, also where all of them are nothing."""


class _Message(msgspec.Struct):
    """A message between its arrival and its acknowledgements. rejected: by place among its events."""

    ids: list[str]
    rejected: dict[int, Rejected]
    answers: list[asyncio.Future[list[Outcome]]]
    size: int


class Intake:
    """Reads in a task of its own, so that a client may send on while it waits for acknowledgements, until it has sent
    `max_bytes` that it has not read the acknowledgements of, or the pipeline is full: then its flow control stops it.

    An async context manager; leaving it stops reading. What has been accepted by then is stored all the same.
    """

    def __init__(self, pipeline: Pipeline, metrics: IngestionMetrics, call: Call, max_bytes: int) -> None:
        self._pipeline = pipeline
        self._metrics = metrics
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
            answers = iter(message.answers)
            known: Iterator[Outcome] = iter(())
            for place, event_id in enumerate(message.ids):
                rejected = message.rejected.get(place)
                if rejected is None:
                    try:
                        rejected = next(known)
                    except StopIteration:
                        known = iter(await next(answers))
                        rejected = next(known)
                if rejected is None:
                    yield pb.EventResponse(ack_id=event_id, success=True)
                else:
                    yield pb.EventResponse(ack_id=event_id, success=False, error_message=str(rejected))
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
                await self._pipeline.reserve(size, SOURCE)
                self._messages.put_nowait(self._accept(raw, size))
        finally:
            self._messages.put_nowait(None)

    def _accept(self, raw: bytes, size: int) -> _Message:
        try:
            sent = pb.EventRequest.FromString(raw).events
        except DecodeError as error:
            self._pipeline.release(size)
            raise Invalid(Violation("request", f"is no EventRequest message: {error}")) from None
        if len(sent) > MAX_MESSAGE_EVENTS:
            self._pipeline.release(size)
            raise Invalid(Violation("events", f"are {len(sent):,}; send at most {MAX_MESSAGE_EVENTS:,} in a message"))
        ids: list[str] = []
        events: list[TelemetryEvent] = []
        rejected: dict[int, Rejected] = {}
        for place, one in enumerate(sent):
            ids.append(one.event_id[:MAX_EVENT_ID])
            try:
                events.append(from_message(one))
            except Rejected as problem:
                problem.body, problem.content_type = one.SerializeToString(), PROTOBUF
                rejected[place] = problem
        self._count(events, rejected)
        if not events:
            self._pipeline.release(size)
        answers = [
            self._pipeline.submit(self._call.tenant, events[first : first + MAX_EVENTS], 0 if first else size, SOURCE)
            for first in range(0, len(events), MAX_EVENTS)
        ]
        return _Message(ids, rejected, answers, size)

    def _count(self, events: list[TelemetryEvent], rejected: dict[int, Rejected]) -> None:
        problems = list(rejected.values())
        types = Counter([event.event_type for event in events] + [problem.event_type for problem in problems])
        for event_type, count in types.items():
            self._metrics.received(event_type, SOURCE, count)
        if problems:
            self._pipeline.reject(problems)

    async def _stop_when_draining(self, reading: asyncio.Task[None]) -> None:
        await self._call.draining.wait()
        reading.cancel()

    @staticmethod
    def _forget(message: _Message | None) -> None:
        for answer in message.answers if message else ():
            answer.cancel()
