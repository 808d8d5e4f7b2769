"""Supervision of the tasks that live as long as their process: the first that ends unasked ends the process.

A process goes through three phases. It runs; once `stopping` is set, by a signal or by a failed task, it drains: tasks
may return now; leaving the block is the shutdown: what still runs is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Self

import structlog
from prometheus_client import CollectorRegistry, Counter

_log = structlog.get_logger(__name__)


class TaskFailed(Exception):
    """A background task ended unasked and took its process with it. task: its name."""

    def __init__(self, task: str, reason: str) -> None:
        super().__init__(
            f"background task {task} ended: {reason}; the process ends with it, and is to be started again"
        )
        self.task = task


class Supervisor:
    """The background tasks of one process, by name. An async context manager that raises `TaskFailed` at its end where
    one has failed.

    stopping: set when the process is to drain. failure: the first task that ended unasked. on_failure: called with it
    at once, on the event loop.
    """

    def __init__(self, registry: CollectorRegistry, on_failure: Callable[[TaskFailed], None] = lambda _: None) -> None:
        self._failures = Counter(
            "memory_graph_background_task_failures_total",
            "Background tasks that ended unasked; the first ends the process",
            ["task"],
            registry=registry,
        )
        self._on_failure = on_failure
        self._tasks: set[asyncio.Task[Any]] = set()
        self.stopping = asyncio.Event()
        self.failure: TaskFailed | None = None

    def start(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Start a task that must not end before the process drains."""
        return self.adopt(asyncio.create_task(coroutine, name=name))

    def adopt(self, task: asyncio.Task[None]) -> asyncio.Task[None]:
        """Supervise a task that runs already."""
        self._failures.labels(task.get_name())  # exported with 0 from the start
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def watch(self, failed: asyncio.Future[None], name: str) -> None:
        """Supervise a component that sets a future when it fails."""

        async def watching() -> None:
            await asyncio.shield(failed)

        self.start(watching(), name)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        self.stopping.set()
        remaining = tuple(self._tasks)
        for task in remaining:
            task.cancel()
        await asyncio.gather(*remaining, return_exceptions=True)
        if self.failure is not None:
            raise self.failure from error

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is None and self.stopping.is_set():
            return
        name = task.get_name()
        self._failures.labels(name).inc()
        reason = _reason(task, error)
        _log.critical("background task ended", task=name, reason=reason, exc_info=error)
        if self.failure is None:
            self.failure = TaskFailed(name, reason)
            self._on_failure(self.failure)
        self.stopping.set()


def _reason(task: asyncio.Task[Any], error: BaseException | None) -> str:
    if error is not None:
        return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return "it was cancelled" if task.cancelled() else "it returned"
