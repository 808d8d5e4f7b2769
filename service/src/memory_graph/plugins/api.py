"""The base class of plugins, the hooks that they may define, and the errors of plugins."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from memory_graph.model.errors import GraphError

OPERATIONS = ("create_node", "create_session", "create_edge", "query", "update_node", "delete_node")
"""The operations that can be hooked. The value that each hook sees:

create_node, create_session, update_node: a `memory_graph.model.nodes.Node` (before: about to be stored; after: as it
is stored). A session goes through create_session only; prompts, responses and tool invocations through create_node.
create_edge: a `memory_graph.model.nodes.Edge`. query: the `memory_graph.model.queries.NodeFilter`.
delete_node: the id of the node or session.
"""
HOOKS = tuple(f"{when}_{operation}" for operation in OPERATIONS for when in ("before", "after"))


class HookContext(msgspec.Struct, frozen=True, kw_only=True):
    """The call that a hook runs for. method: the gRPC method, for example `AddPrompt`. request_id: as in the logs."""

    tenant: str
    method: str
    request_id: str


class Plugin:
    """The base class of plugins. The service makes one instance, without arguments, when it starts.

    A subclass names itself and defines any of HOOKS as a method, plain or async, with the arguments (context, value):

        async def before_create_node(self, context: HookContext, node: Node) -> Node | None: ...
        def after_create_node(self, context: HookContext, node: Node) -> None: ...

    A before-hook returns None to leave the value as it is, another value to be used instead
    (`msgspec.structs.replace` makes one; id, type, session and the ends of an edge stay), or raises `Veto`. The result
    of an after-hook is ignored. Plain hooks run on a thread; an async hook shares the event loop and must not block.

    name: unique among the plugins; it labels metrics and errors. priority: lower runs first.
    """

    name: ClassVar[str]
    version: ClassVar[str] = "0"
    priority: ClassVar[int] = 100


class Veto(Exception):
    """A before-hook's refusal. The reason reaches the caller: one sentence, without content."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


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
