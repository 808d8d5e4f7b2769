"""Passes batches of events to the pipeline, whether they came by a stream, by REST or by Kafka."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Generic, TypeVar

import msgspec
import structlog

from memory_graph.ingest.pipeline import MAX_EVENTS, Outcome, Pipeline
from memory_graph.ingest.telemetry.events import Rejected
from memory_graph.ingest.topics import Event
from memory_graph.telemetry.ingestion import IngestionMetrics

T = TypeVar("T")
Decode = Callable[[T], tuple[str, Sequence[Event]]]
"""Returns the tenant and the events of one element of a batch. Raises `Rejected`."""

_FAILED = "it could not be read inside the service; its log says why"
_log = structlog.get_logger(__name__)


class _Run(msgspec.Struct):
    """Events of one tenant that are submitted together. owners: by event, the index of its element in the batch."""

    tenant: str
    events: list[Event]
    owners: list[int]


class Receipt:
    """The outcomes of a batch. Iterating yields the outcome of each element, in order, as soon as it is known.
    Iterating and `rejected` raise the errors of the pipeline."""

    def __init__(
        self, count: int, undecoded: dict[int, Rejected], runs: list[_Run], answers: list[asyncio.Future[list[Outcome]]]
    ) -> None:
        self._undecoded = undecoded
        self._answers = answers
        self._parts: list[list[tuple[asyncio.Future[list[Outcome]], int]]] = [[] for _ in range(count)]
        for run, answer in zip(runs, answers, strict=True):
            for index, owner in enumerate(run.owners):
                self._parts[owner].append((answer, index))

    async def __aiter__(self) -> AsyncIterator[Outcome]:
        for element, parts in enumerate(self._parts):
            outcome: Outcome = self._undecoded.get(element)
            for answer, index in parts:
                outcome = outcome or (await answer)[index]
            yield outcome

    async def rejected(self) -> dict[int, Rejected]:
        """Return the rejections by index, once all elements are durable or rejected."""
        outcomes = [outcome async for outcome in self]
        return {index: outcome for index, outcome in enumerate(outcomes) if outcome is not None}

    def cancel(self) -> None:
        """Stop to wait for outcomes. Submitted events are stored all the same."""
        for answer in self._answers:
            answer.cancel()


class EventReceiver(Generic[T]):
    """Decodes, counts and submits batches of one source, in order. An element that does not decode is rejected alone.

    source: the label of metrics, and the key of a queue. decode: decodes one element.
    """

    def __init__(self, pipeline: Pipeline, metrics: IngestionMetrics, source: str, decode: Decode[T]) -> None:
        self._pipeline = pipeline
        self._metrics = metrics
        self._source = source
        self._decode = decode

    async def reserve(self, size: int) -> None:
        """Wait until `size` bytes (`held_bytes`) are reserved; `receive` or the pipeline's `release` must follow."""
        await self._pipeline.reserve(size, self._source)

    def receive(self, batch: Sequence[T], size: int) -> Receipt:
        """Submit a batch with the bytes reserved for it, which are released once the whole batch is settled."""
        try:
            runs, undecoded = self._decode_batch(batch)
            self._count(runs, list(undecoded.values()))
        except BaseException:
            self._pipeline.release(size)
            raise
        return Receipt(len(batch), undecoded, runs, self._submit(runs, size))

    def _decode_batch(self, batch: Sequence[T]) -> tuple[list[_Run], dict[int, Rejected]]:
        runs: list[_Run] = []
        undecoded: dict[int, Rejected] = {}
        for index, element in enumerate(batch):
            try:
                tenant, events = self._decode(element)
            except Rejected as problem:
                undecoded[index] = problem
                continue
            except Exception as error:  # noqa: BLE001 - one that a decoder chokes on must not end the others
                _log.error("event not read", source=self._source, index=index, error_type=type(error).__name__,
                           exc_info=error)  # fmt: skip
                undecoded[index] = Rejected("", "", "failed", _FAILED)
                continue
            for event in events:
                if not runs or runs[-1].tenant != tenant or len(runs[-1].events) >= MAX_EVENTS:
                    runs.append(_Run(tenant, [], []))
                runs[-1].events.append(event)
                runs[-1].owners.append(index)
        return runs, undecoded

    def _submit(self, runs: Sequence[_Run], size: int) -> list[asyncio.Future[list[Outcome]]]:
        if not runs:
            self._pipeline.release(size)
        last = len(runs) - 1
        return [
            self._pipeline.submit(run.tenant, run.events, size if index == last else 0, self._source)
            for index, run in enumerate(runs)
        ]

    def _count(self, runs: Sequence[_Run], problems: Sequence[Rejected]) -> None:
        types = Counter([event.event_type for run in runs for event in run.events])
        types.update(problem.event_type for problem in problems)
        for event_type, count in types.items():
            self._metrics.received(event_type, self._source, count)
        if problems:
            self._pipeline.reject(problems)
