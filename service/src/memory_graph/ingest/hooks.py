"""Plugins see prompts, responses and tool calls that come as events as they see those that come by gRPC."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from memory_graph.ingest import checks, rules
from memory_graph.model.kinds import EdgeType, NodeType
from memory_graph.model.mutations import Applied, CreateNode
from memory_graph.model.nodes import Node
from memory_graph.plugins import HookContext, PluginHost

METHOD = "ingest"
"""The method that hooks are told of."""
_OPERATION = "create_node"
_SEEN = frozenset({NodeType.PROMPT, NodeType.RESPONSE, NodeType.TOOL_INVOCATION})


class Hooks:
    """plugins: None where there are none. new_id: of edges and requests."""

    def __init__(self, plugins: PluginHost | None, new_id: Callable[[], str]) -> None:
        self._plugins = plugins if plugins is not None and plugins.has_hooks(_OPERATION) else None
        self._new_id = new_id

    async def before(self, tenant: str, creations: tuple[CreateNode, ...]) -> tuple[CreateNode, ...]:
        """The creations as plugins want them. Raises `Vetoed`, `PluginFailed`, and `Invalid` for what they made."""
        if self._plugins is None:
            return creations
        context = self._context(tenant)
        return tuple([await self._before(self._plugins, context, creation) for creation in creations])

    def after(self, tenant: str, applied: Applied) -> None:
        """Tells plugins of what is new."""
        if self._plugins is None or not applied.events:
            return
        context, at = self._context(tenant), applied.events[0].at
        new = {id(node): node for node in applied.results if isinstance(node, Node) and node.recorded_at == at}
        for node in new.values():
            if node.type in _SEEN:
                self._plugins.after(_OPERATION, context, node)

    async def _before(self, plugins: PluginHost, context: HookContext, creation: CreateNode) -> CreateNode:
        node = creation.node
        if node.type not in _SEEN:
            return creation
        changed = await plugins.before(_OPERATION, context, node)
        if changed is node:
            return creation
        checker = checks.Checker()
        checks.check_node(checker, "event", changed)
        checker.done()
        made = rules.creation(changed, self._new_id, instantiates=creation.counts_use_of)
        told = [edge for edge in creation.edges if edge.type is EdgeType.USES_MODEL]
        return replace(made, edges=(*made.edges, *told), observed=True)

    def _context(self, tenant: str) -> HookContext:
        return HookContext(tenant=tenant, method=METHOD, request_id=self._new_id())
