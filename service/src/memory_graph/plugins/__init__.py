"""Plugins: the operator's own code, called before and after writes and queries.

A plugin file imports what it needs from here; docs/how-to/write-a-plugin.md has the how-to.
"""

from memory_graph.plugins.api import (
    HOOKS,
    OPERATIONS,
    HookContext,
    Plugin,
    PluginFailed,
    PluginLoadError,
    Veto,
)
from memory_graph.plugins.host import PluginHost
from memory_graph.plugins.loading import load_plugins

__all__ = [
    "HOOKS",
    "OPERATIONS",
    "HookContext",
    "Plugin",
    "PluginFailed",
    "PluginHost",
    "PluginLoadError",
    "Veto",
    "load_plugins",
]
