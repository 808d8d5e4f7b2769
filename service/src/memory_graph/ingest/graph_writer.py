"""Writes the nodes and edges of calls; every source of calls (gRPC today) uses a `GraphWriter`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from memory_graph.ingest import checks, derived_edges, templates
from memory_graph.ingest.clock_and_ids import SYSTEM, ClockAndIds
from memory_graph.model.errors import Invalid, NotFound, Violation
from memory_graph.model.kinds import NodeType
from memory_graph.model.mutations import Applied, CreateEdge, CreateNode, DeleteEdge, DeleteNode, UpdateNode, Write
from memory_graph.model.nodes import Edge, Node, PromptData, SessionData, TemplateData
from memory_graph.model.queries import NodeFilter
from memory_graph.plugins import HookContext, PluginHost
from memory_graph.store.protocol import GraphStore

MAX_TEMPLATE_DEPTH = 10
"""Most ancestors a template may have."""


class GraphWriter:
    """The writer of nodes and edges: checks them, calls plugins, derives edges, and writes once.

    All methods raise `Invalid`, `Vetoed`, `NotFound`, `AlreadyExists`, `SessionClosed` and `StoreUnavailable`; then
    nothing was written. They return once the write is durable.
    """

    def __init__(
        self,
        store: GraphStore,
        plugins: PluginHost,
        ports: ClockAndIds = SYSTEM,
    ) -> None:
        self.store = store
        self.plugins = plugins
        self.now = ports.now
        self.new_id = ports.new_id

    async def create(
        self, context: HookContext, nodes: Sequence[Node], paths: Sequence[str], *, instantiates: str | None = None
    ) -> Applied:
        """Create nodes, all or none, in order. paths: the path of each in the request, for violations.

        A session starts active, whatever `is_active` says: absent and false are the same on the wire.
        """
        nodes = [_activated(node) for node in nodes]
        checker = checks.Checker()
        for node, path in zip(nodes, paths, strict=True):
            checks.check_node(checker, path, node)
        checker.done()
        mutations: list[CreateNode] = []
        for node, path in zip(nodes, paths, strict=True):
            mutations.append(
                derived_edges.create_node(
                    await self._before_create(context, node, path), self.new_id, instantiates=instantiates
                )
            )
        applied = await self.store.apply(Write(tenant=context.tenant, mutations=tuple(mutations)))
        for result in applied.results:
            if isinstance(result, Node):
                self.plugins.after(_create_hook(result), context, result)
        return applied

    async def create_session(self, context: HookContext, metadata: dict[str, str]) -> Node:
        """Create an active session."""
        id, now = self.new_id(), self.now()
        session = Node(
            id=id,
            type=NodeType.SESSION,
            data=SessionData(metadata=metadata),
            created_at=now,
            updated_at=now,
            session_id=id,
        )
        return _node((await self.create(context, [session], ["session"])).results[0])

    async def update(self, context: HookContext, node: Node, path: str) -> Node:
        """Replace a node's data, but not what edges derive from (session, prompt, parent, references …)."""
        checker = checks.Checker()
        checks.check_node(checker, path, node)
        checker.done()
        current = await self.get(context.tenant, node.id)
        if current.type != node.type:
            raise Invalid(Violation(f"{path}.type", f"is {node.type.name}, the stored node is {current.type.name}"))
        if derived_edges.derived_edges_of(node) != derived_edges.derived_edges_of(current):
            raise Invalid(
                Violation(
                    f"{path}.{checks.ARM[type(node.data).__name__]}",
                    "names other nodes than the stored node; create a new one",
                )
            )
        changed = await self._before(context, "update_node", node, path)
        applied = await self.store.apply(Write(tenant=context.tenant, mutations=(UpdateNode(node=changed),)))
        result = _node(applied.results[0])
        self.plugins.after("update_node", context, result)
        return result

    async def close_session(self, context: HookContext, session_id: str) -> Node:
        """Close a session; a closed one stays as it is."""
        current = await self.get_session(context.tenant, session_id)
        assert isinstance(current.data, SessionData)
        if not current.data.is_active:
            return current
        ended = msgspec.structs.replace(
            current, data=msgspec.structs.replace(current.data, is_active=False), updated_at=self.now()
        )
        return await self.update(context, ended, "session")

    async def delete_node(self, context: HookContext, node_id: str) -> None:
        """Delete a node with its edges; a session with its nodes."""
        if self.plugins.has_hooks("delete_node"):
            await self.plugins.before("delete_node", context, node_id)
        mutation = DeleteNode(node_id=node_id, at=self.now(), relink_edge_id=self.new_id())
        await self.store.apply(Write(tenant=context.tenant, mutations=(mutation,)))
        self.plugins.after("delete_node", context, node_id)

    async def delete_session(self, context: HookContext, session_id: str) -> None:
        """Delete a session with its nodes."""
        await self.get_session(context.tenant, session_id)
        await self.delete_node(context, session_id)

    async def create_edge(self, context: HookContext, edge: Edge, path: str) -> Edge:
        """Create one edge between two nodes that exist."""
        checker = checks.Checker()
        checks.check_edge(checker, path, edge)
        checker.done()
        changed = edge
        if self.plugins.has_hooks("create_edge"):
            changed = await self.plugins.before("create_edge", context, edge)
        applied = await self.store.apply(Write(tenant=context.tenant, mutations=(CreateEdge(edge=changed),)))
        result = applied.results[0]
        assert isinstance(result, Edge)
        self.plugins.after("create_edge", context, result)
        return result

    async def delete_edge(self, context: HookContext, edge_id: str) -> None:
        """Delete one edge."""
        mutation = DeleteEdge(edge_id=edge_id, at=self.now())
        await self.store.apply(Write(tenant=context.tenant, mutations=(mutation,)))

    async def instantiate(
        self, context: HookContext, template_id: str, values: dict[str, str], session_id: str
    ) -> Node:
        """Add a prompt that is expanded from a template to a session, and count the use."""
        lineage = await self._template_lineage(context.tenant, template_id)
        content = templates.expand(lineage, values)
        now = self.now()
        prompt = Node(
            id=self.new_id(),
            type=NodeType.PROMPT,
            data=PromptData(session_id=session_id, content=content),
            created_at=now,
            updated_at=now,
            session_id=session_id,
        )
        applied = await self.create(context, [prompt], ["prompt"], instantiates=template_id)
        return _node(applied.results[0])

    async def get(self, tenant: str, node_id: str, kind: str = "node") -> Node:
        """Return one node. Raises `NotFound`."""
        nodes = await self.store.get_nodes(tenant, [node_id])
        if not nodes:
            raise NotFound(kind, node_id)
        return nodes[0]

    async def get_session(self, tenant: str, session_id: str) -> Node:
        """Return one session. Raises `NotFound`, also for a node of another type."""
        node = await self.get(tenant, session_id, "session")
        if node.type is not NodeType.SESSION:
            raise NotFound("session", session_id)
        return node

    async def before_query(self, context: HookContext, condition: NodeFilter) -> NodeFilter:
        """Return the condition of a query as plugins change it."""
        if not self.plugins.has_hooks("query"):
            return condition
        return await self.plugins.before("query", context, condition)

    async def _template_lineage(self, tenant: str, template_id: str) -> list[TemplateData]:
        lineage: list[TemplateData] = []
        next_id = template_id
        while next_id:
            node = await self.get(tenant, next_id, "template")
            if not isinstance(node.data, TemplateData):
                raise NotFound("template", next_id)
            lineage.insert(0, node.data)
            if len(lineage) > MAX_TEMPLATE_DEPTH:
                raise Invalid(Violation("template_id", f"has more than {MAX_TEMPLATE_DEPTH} ancestors"))
            next_id = node.data.metadata.get("parent_id", "")
        return lineage

    async def _before_create(self, context: HookContext, node: Node, path: str) -> Node:
        return await self._before(context, _create_hook(node), node, path)

    async def _before(self, context: HookContext, hook: str, node: Node, path: str) -> Node:
        if not self.plugins.has_hooks(hook):
            return node
        changed = await self.plugins.before(hook, context, node)
        if changed is not node:
            checker = checks.Checker()
            checks.check_node(checker, path, changed)
            checker.done()
        return changed


def _activated(node: Node) -> Node:
    if isinstance(node.data, SessionData) and not node.data.is_active:
        return msgspec.structs.replace(node, data=msgspec.structs.replace(node.data, is_active=True))
    return node


def _create_hook(node: Node) -> str:
    return "create_session" if node.type is NodeType.SESSION else "create_node"


def _node(result: Node | Edge | None) -> Node:
    assert isinstance(result, Node)
    return result
