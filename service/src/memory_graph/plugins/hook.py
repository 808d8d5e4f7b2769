"""One hook of one plugin, as the host calls it."""

from __future__ import annotations

import asyncio
import inspect
import time
import traceback
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from memory_graph.plugins.api import HookContext, Plugin
    from memory_graph.plugins.hook_executor import HookExecutor
    from memory_graph.telemetry.metrics import Metrics

_LOG = structlog.get_logger(__name__)


class Hook:
    """One hook of one plugin, with its time limit and its metrics."""

    def __init__(self, plugin: Plugin, name: str, timeout_s: float, metrics: Metrics, executor: HookExecutor) -> None:
        self.plugin = plugin.name
        self.name = name
        self.timeout_s = timeout_s
        self.metrics = metrics.hook(plugin.name, name)
        self._executor = executor
        self._call = getattr(plugin, name)
        self._is_async = inspect.iscoroutinefunction(self._call)

    async def __call__(self, context: HookContext, value: object) -> object:
        """Run the hook and return its result. Raises what the hook raises, and TimeoutError after its time limit."""
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self.timeout_s):
                if self._is_async:
                    return await self._call(context, value)
                return await self._executor.run(lambda: self._call(context, value))
        finally:
            self.metrics.ran(time.perf_counter() - started)

    def report(self, context: HookContext, error: Exception) -> None:
        """Count and log a failure with the place in the code and without its text, which may be content."""
        self.metrics.failed("timeout" if isinstance(error, TimeoutError) else type(error).__name__)
        _LOG.error(
            "plugin hook failed",
            plugin=self.plugin,
            hook=self.name,
            method=context.method,
            request_id=context.request_id,
            tenant_id=context.tenant,
            error_type=type(error).__name__,
            frames=[f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)],
        )
