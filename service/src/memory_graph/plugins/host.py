"""Runs the hooks of the loaded plugins."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar, cast

from memory_graph.model.errors import Vetoed
from memory_graph.model.tenants import is_ephemeral
from memory_graph.plugins.after_hooks import AfterHookQueue
from memory_graph.plugins.api import HOOKS, OPERATIONS, HookContext, Plugin, PluginFailed, Veto
from memory_graph.plugins.hook import Hook
from memory_graph.plugins.hook_executor import HookExecutor
from memory_graph.plugins.replacement import validate_replacement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memory_graph.telemetry.metrics import Metrics

_MAX_THREADS = 8

V = TypeVar("V")


class PluginHost:
    """All plugins of the service, by priority, then name."""

    def __init__(self, plugins: Sequence[Plugin], timeout_s: float, metrics: Metrics) -> None:
        self.plugins = tuple(sorted(plugins, key=lambda plugin: (plugin.priority, plugin.name)))
        self._executor = HookExecutor(_MAX_THREADS)
        hooks = {
            name: tuple(
                Hook(plugin, name, timeout_s, metrics, self._executor)
                for plugin in self.plugins
                if hasattr(plugin, name)
            )
            for name in HOOKS
        }
        self._before = {operation: hooks[f"before_{operation}"] for operation in OPERATIONS}
        self._after = {operation: hooks[f"after_{operation}"] for operation in OPERATIONS}
        self._hooked = frozenset(o for o in OPERATIONS if self._before[o] or self._after[o])
        self._after_queues = {plugin.name: AfterHookQueue() for plugin in self.plugins}

    def has_hooks(self, operation: str) -> bool:
        """Return whether any plugin hooks this operation (one of OPERATIONS). If none does, calls have no effect."""
        return operation in self._hooked

    async def before(self, operation: str, context: HookContext, value: V) -> V:
        """Run every before-hook of the operation and return the value that they leave.

        Raises `Vetoed` when a plugin refuses, `PluginFailed` when one fails, returns what may not be used, or does
        not end in time. Then nothing may be written.
        """
        for hook in self._before[operation]:
            value = await self._apply(hook, context, value)
        return value

    async def _apply(self, hook: Hook, context: HookContext, value: V) -> V:
        try:
            returned = await hook(context, value)
        except Veto as veto:
            raise Vetoed(hook.plugin, veto.reason) from None
        except TimeoutError as error:
            hook.report(context, error)
            raise PluginFailed(hook.plugin, hook.name, f"did not end within {hook.timeout_s * 1000:g} ms") from None
        except Exception as error:  # noqa: BLE001 - foreign code may raise anything
            hook.report(context, error)
            raise PluginFailed(hook.plugin, hook.name, f"raised {type(error).__name__}") from None
        if returned is None or returned is value:
            return value
        problem = validate_replacement(value, returned)
        if problem is not None:
            hook.metrics.failed("bad_value")
            raise PluginFailed(hook.plugin, hook.name, problem)
        return cast("V", returned)

    def after(self, operation: str, context: HookContext, value: Any) -> None:  # noqa: ANN401 - any of OPERATIONS
        """Schedule the after-hooks of the operation and return at once; nothing they do reaches the caller.

        Each plugin gets its after-calls in order. A plugin too slow for them loses calls, which is counted and logged.
        Plugins see nothing of an ephemeral tenant.
        """
        if is_ephemeral(context.tenant):
            return
        for hook in self._after[operation]:
            self._after_queues[hook.plugin].add(hook, context, value)

    async def close(self, timeout_s: float) -> None:
        """Finish the queued after-hooks within `timeout_s` seconds, and count those that remain as dropped."""
        await asyncio.gather(*(queue.close(timeout_s) for queue in self._after_queues.values()))
        self._executor.close()
