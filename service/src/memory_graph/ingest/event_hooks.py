"""Calls plugins for the prompts, responses and tool calls of events, as for those that come by gRPC."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from memory_graph.ingest import checks, derived_edges
from memory_graph.model.kinds import EdgeType, NodeType
from memory_graph.model.mutations import Applied, CreateNode
from memory_graph.model.nodes import Node
from memory_graph.plugins import HookContext, PluginHost

METHOD = "ingest"
"""The `method` in the context of hooks."""
_OPERATION = "create_node"
_HOOKED_TYPES = frozenset({NodeType.PROMPT, NodeType.RESPONSE, NodeType.TOOL_INVOCATION})


class EventHooks:
    """The hooks around a write of events. new_id: makes ids of edges and requests."""

    def __init__(self, plugins: PluginHost | None, new_id: Callable[[], str]) -> None:
        self._plugins = plugins if plugins is not None and plugins.has_hooks(_OPERATION) else None
        self._new_id = new_id

    async def before(self, tenant: str, creations: tuple[CreateNode, ...]) -> tuple[CreateNode, ...]:
        """Return the creations as plugins change them. Raises `Vetoed`, `PluginFailed` and `Invalid`."""
        if self._plugins is None:
            return creations
        context = self._context(tenant)
        return tuple([await self._before(self._plugins, context, creation) for creation in creations])

    def after(self, tenant: str, applied: Applied) -> None:
        """Call the after-hooks for new nodes."""
        if self._plugins is None or not applied.events:
            return
        context, at = self._context(tenant), applied.events[0].at
        new = {id(node): node for node in applied.results if isinstance(node, Node) and node.recorded_at == at}
        for node in new.values():
            if node.type in _HOOKED_TYPES:
                self._plugins.after(_OPERATION, context, node)

    async def _before(self, plugins: PluginHost, context: HookContext, creation: CreateNode) -> CreateNode:
        node = creation.node
        if node.type not in _HOOKED_TYPES:
            return creation
        changed = await plugins.before(_OPERATION, context, node)
        if changed is node:
            return creation
        checker = checks.Checker()
        checks.check_node(checker, "event", changed)
        checker.done()
        created = derived_edges.create_node(changed, self._new_id, instantiates=creation.counts_use_of)
        model_edges = [edge for edge in creation.edges if edge.type is EdgeType.USES_MODEL]
        return replace(created, edges=(*created.edges, *model_edges), observed=True)

    def _context(self, tenant: str) -> HookContext:
        return HookContext(tenant=tenant, method=METHOD, request_id=self._new_id())
