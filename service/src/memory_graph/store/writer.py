"""Group commit: writes that arrive while a commit runs share the next one.

Nothing waits on a timer. A write that finds the store idle is committed at once; under load the batch is what piled up
while the disk was busy. What is accepted and not yet committed is bounded in bytes: beyond that, callers wait.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

import msgspec
import structlog

from memory_graph.flow.byte_semaphore import ByteSemaphore
from memory_graph.model.errors import GraphError, StoreUnavailable
from memory_graph.model.mutations import Applied, CreateEdge, CreateNode, Mutation, UpdateNode, Write

Commit = Callable[[Sequence[Write]], Awaitable[Sequence[Applied | GraphError]]]
"""Commits a batch; yields for each write, in order, what came of it; raises when nothing of the batch was kept."""
Publish = Callable[[Sequence[Write], Sequence[Applied | GraphError]], Awaitable[None]]
"""Tells subscribers of a batch that is committed."""

MAX_MUTATIONS = 2_000
MAX_PENDING_BYTES = 64 * 1024 * 1024


_log = structlog.get_logger(__name__)

_OVERHEAD_BYTES = 512
"""What a mutation takes beside its content: ids, times, edges."""


def _content(mutation: Mutation) -> object:
    match mutation:
        case CreateNode() | UpdateNode():
            return mutation.node.data
        case CreateEdge():
            return mutation.edge.properties
        case _:
            return None


class WriterObserver(Protocol):
    """Is told what the writer does, for metrics."""

    def committed(self, mutations: int, seconds: float) -> None:
        """One batch was committed: how many mutations shared it, and how long it took."""

    def pending(self, size: int) -> None:
        """Bytes accepted and not yet committed, after a batch."""


class _Item(NamedTuple):
    write: Write
    size: int
    answer: asyncio.Future[Applied]


class BatchingWriter:
    """Puts writes of concurrent callers into batches, in the order they came.

    commit: of the store. publish: awaited with each batch's outcomes after its commit, before callers are answered, in
    commit order. Where it fails the writes are committed all the same, and so their callers are told.
    max_mutations: of a batch; a single write may be larger. max_pending_bytes: about the encoded size of what
    waits.
    observer: told of every batch.
    """

    def __init__(
        self,
        commit: Commit,
        publish: Publish,
        *,
        max_mutations: int = MAX_MUTATIONS,
        max_pending_bytes: int = MAX_PENDING_BYTES,
        observer: WriterObserver | None = None,
    ) -> None:
        self._commit = commit
        self._observer = observer
        self._publish = publish
        self._max_mutations = max_mutations
        self._encoder = msgspec.msgpack.Encoder()
        self._queue: deque[_Item] = deque()
        self._semaphore = ByteSemaphore(max_pending_bytes)
        self._pump: asyncio.Task[None] | None = None
        self._closed = False

    async def submit(self, write: Write) -> Applied:
        """Returns when the write is committed. Raises what it was refused for, or `StoreUnavailable`.

        A caller that is cancelled while its write waits for room withdraws it; later, it may still be committed.
        """
        size = len(self._encoder.encode([_content(mutation) for mutation in write.mutations]))
        size += _OVERHEAD_BYTES * len(write.mutations)
        if self._closed:
            raise _closed()
        await self._semaphore.acquire(size)
        if self._closed:
            self._semaphore.release(size)
            raise _closed()
        answer: asyncio.Future[Applied] = asyncio.get_running_loop().create_future()
        self._queue.append(_Item(write, size, answer))
        if self._pump is None:
            self._pump = asyncio.create_task(self._run(), name="store-writer")
        return await answer

    async def close(self) -> None:
        """Commits what was accepted; refuses what is not, and what comes later. Idempotent."""
        self._closed = True
        if self._pump is not None:
            await asyncio.shield(self._pump)

    async def _run(self) -> None:
        try:
            while self._queue:
                await self._settle(self._take())
        finally:
            self._pump = None  # whatever happened, the next write starts it again

    async def _settle(self, batch: Sequence[_Item]) -> None:
        """Commits a batch and answers its callers, each of them, whatever goes wrong."""
        failure: Exception = StoreUnavailable(
            "the write was broken off and may have been kept; read before you repeat it"
        )
        try:
            outcomes = await self._committed([item.write for item in batch])
            for item, outcome in zip(batch, outcomes, strict=True):
                _answer(item.answer, outcome)
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not hang these callers, nor those after them
            _log.error("writes failed", error_type=type(error).__name__, exc_info=error)
            failure = error
        finally:
            for item in batch:
                _answer(item.answer, failure)
            self._semaphore.release(sum(item.size for item in batch))
            if self._observer is not None:
                self._observer.pending(self._semaphore.held)

    async def _committed(self, writes: Sequence[Write]) -> Sequence[Applied | Exception]:
        """Commit writes; return the outcome of each. One that the store fails at does not take the others down with
        it."""
        began = time.perf_counter()
        try:
            outcomes = await self._commit(writes)
        except GraphError as error:
            return [error] * len(writes)
        except Exception as error:  # noqa: BLE001 - a mistake of the store: its callers hear it and the writer goes on
            if len(writes) == 1:
                return [error]
            return [outcome for write in writes for outcome in await self._committed([write])]
        await self._announce(writes, outcomes, time.perf_counter() - began)
        return outcomes

    async def _announce(
        self, writes: Sequence[Write], outcomes: Sequence[Applied | GraphError], seconds: float
    ) -> None:
        """Publishes and measures what is committed. It stays committed where that fails: its callers are answered, and
        nothing is written again."""
        try:
            if self._observer is not None:
                self._observer.committed(sum(len(write.mutations) for write in writes), seconds)
            await self._publish(writes, outcomes)
        except Exception as error:  # noqa: BLE001 - see above
            _log.error("commit not published", writes=len(writes), error_type=type(error).__name__, exc_info=error)

    def _take(self) -> list[_Item]:
        batch = [self._queue.popleft()]
        mutations = len(batch[0].write.mutations)
        while self._queue:
            mutations += len(self._queue[0].write.mutations)
            if mutations > self._max_mutations:
                break
            batch.append(self._queue.popleft())
        return batch


def _answer(answer: asyncio.Future[Applied], outcome: Applied | Exception) -> None:
    if answer.done():
        return
    if isinstance(outcome, Applied):
        answer.set_result(outcome)
    else:
        answer.set_exception(outcome)


def _closed() -> StoreUnavailable:
    return StoreUnavailable("the store is closed and the write was not kept; retry it with a running service")
