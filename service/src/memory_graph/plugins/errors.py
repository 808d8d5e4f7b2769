"""The exceptions of plugins."""

from __future__ import annotations

from memory_graph.model.errors import GraphError


class PluginLoadError(Exception):
    """A plugin directory or file cannot be used; the service must not start without the plugins it was given."""


class PluginFailed(GraphError):
    """A before-hook failed or did not end in time, so nothing was written: a guard that is broken lets nobody pass.

    The caller is not at fault; the same request may succeed once the plugin works again.
    """

    def __init__(self, plugin: str, hook: str, reason: str) -> None:
        super().__init__(f"plugin {plugin} {reason} in {hook}; nothing was done, see the service's log")
        self.plugin = plugin
        self.hook = hook
