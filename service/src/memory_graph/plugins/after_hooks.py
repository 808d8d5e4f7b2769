"""The queue of one plugin's after-hooks."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from memory_graph.plugins.api import HookContext
    from memory_graph.plugins.hook import Hook

_MAX_QUEUED_CALLS = 256
"""Queued calls of one plugin: with content at its limit of 1 MB, a quarter of a gigabyte at the very worst."""
_LOG = structlog.get_logger(__name__)


class AfterHookQueue:
    """A bounded queue that runs the after-hooks of one plugin in order, in the background, on one event loop."""

    def __init__(self) -> None:
        self._calls: deque[tuple[Hook, HookContext, object]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._overflowing = False

    def add(self, hook: Hook, context: HookContext, value: object) -> None:
        if len(self._calls) >= _MAX_QUEUED_CALLS:
            self._drop(hook)
            return
        self._overflowing = False
        self._calls.append((hook, context, value))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while self._calls:
            hook, context, value = self._calls.popleft()
            try:
                await hook(context, value)
            except Exception as error:  # noqa: BLE001 - foreign code; the write it follows is done and stays done
                hook.report(context, error)

    def _drop(self, hook: Hook) -> None:
        hook.metrics.failed("dropped")
        if not self._overflowing:
            self._overflowing = True
            _LOG.warning("plugin too slow: after-hooks are dropped", plugin=hook.plugin, hook=hook.name)

    async def close(self, timeout_s: float) -> None:
        if self._task is None:
            return
        await asyncio.wait([self._task], timeout=timeout_s)
        self._task.cancel()
        await asyncio.wait([self._task])
        while self._calls:
            self._drop(self._calls.popleft()[0])
