"""llm.memory.graph.v1.MemoryGraphService: every rpc reads as request → model → writer or store → reply."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence

from google.protobuf.empty_pb2 import Empty

from memory_graph import __version__
from memory_graph.api import feed, from_wire, requests, to_wire
from memory_graph.api.rpc import Call
from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb
from memory_graph.ingest.checks import Checker
from memory_graph.ingest.graph_writer import GraphWriter
from memory_graph.model.kinds import Direction, NodeType
from memory_graph.model.mutations import Event
from memory_graph.model.nodes import Node, NodeData, PromptData
from memory_graph.model.queries import NodeFilter
from memory_graph.telemetry.metrics import Metrics

Serving = Callable[[], bool]


class MemoryGraphService:
    """The RPCs of MemoryGraphService, a method each under the name of the contract; contract §1 says what each does."""

    def __init__(self, writer: GraphWriter, metrics: Metrics, serving: Serving) -> None:
        self._writer = writer
        self._store = writer.store
        self._metrics = metrics
        self._serving = serving
        self._started = time.monotonic()

    async def CreateSession(self, request: pb.CreateSessionRequest, call: Call) -> pb.Session:
        return to_wire.session_to_wire(await self._writer.create_session(call.context, dict(request.metadata)))

    async def GetSession(self, request: pb.GetSessionRequest, call: Call) -> pb.Session:
        session_id = requests.one_id("session_id", request.session_id)
        return to_wire.session_to_wire(await self._writer.get_session(call.tenant, session_id))

    async def DeleteSession(self, request: pb.DeleteSessionRequest, call: Call) -> Empty:
        await self._writer.delete_session(call.context, requests.one_id("session_id", request.session_id))
        return Empty()

    async def ListSessions(self, request: pb.ListSessionsRequest, call: Call) -> pb.ListSessionsResponse:
        checker = Checker()
        limit, offset = requests.page(checker, request.limit, request.offset)
        checker.done()
        page = await self._store.query(call.tenant, NodeFilter(type=NodeType.SESSION), limit, offset)
        return pb.ListSessionsResponse(
            sessions=[to_wire.session_to_wire(node) for node in page.nodes], total_count=page.total_count
        )

    async def CreateNode(self, request: pb.CreateNodeRequest, call: Call) -> pb.Node:
        (created,) = (await self._create_nodes([request.node], ["node"], call))[0]
        return to_wire.node_to_wire(created)

    async def GetNode(self, request: pb.GetNodeRequest, call: Call) -> pb.Node:
        return to_wire.node_to_wire(await self._writer.get(call.tenant, requests.one_id("node_id", request.node_id)))

    async def UpdateNode(self, request: pb.UpdateNodeRequest, call: Call) -> pb.Node:
        node = requests.updated_node(request, new_id=self._writer.new_id, now=self._writer.now())
        return to_wire.node_to_wire(await self._writer.update(call.context, node, "node"))

    async def DeleteNode(self, request: pb.DeleteNodeRequest, call: Call) -> Empty:
        await self._writer.delete_node(call.context, requests.one_id("node_id", request.node_id))
        return Empty()

    async def BatchCreateNodes(self, request: pb.BatchCreateNodesRequest, call: Call) -> pb.BatchCreateNodesResponse:
        paths = [f"nodes[{index}]" for index in range(len(request.nodes))]
        nodes, created = await self._create_nodes(request.nodes, paths, call)
        reply = pb.BatchCreateNodesResponse(created_count=created)
        for node in nodes:
            to_wire.fill_node(reply.nodes.add(), node)
        return reply

    async def BatchGetNodes(self, request: pb.BatchGetNodesRequest, call: Call) -> pb.BatchGetNodesResponse:
        nodes = await self._store.get_nodes(call.tenant, requests.node_ids(request))
        reply = pb.BatchGetNodesResponse()
        for node in nodes:
            to_wire.fill_node(reply.nodes.add(), node)
        return reply

    async def CreateEdge(self, request: pb.CreateEdgeRequest, call: Call) -> pb.Edge:
        edge = requests.created_edge(request, new_id=self._writer.new_id, now=self._writer.now())
        return to_wire.edge_to_wire(await self._writer.create_edge(call.context, edge, "edge"))

    async def GetEdges(self, request: pb.GetEdgesRequest, call: Call) -> pb.GetEdgesResponse:
        checker = Checker()
        node_id = checker.id("node_id", request.node_id)
        direction = requests.direction(checker, "direction", request.direction, Direction.BOTH)
        edge_type = requests.edge_type(checker, "type", request.type) if request.HasField("type") else None
        checker.done()
        edges = await self._store.get_edges(call.tenant, node_id, direction, edge_type)
        return pb.GetEdgesResponse(edges=[to_wire.edge_to_wire(edge) for edge in edges])

    async def DeleteEdge(self, request: pb.DeleteEdgeRequest, call: Call) -> Empty:
        await self._writer.delete_edge(call.context, requests.one_id("edge_id", request.edge_id))
        return Empty()

    async def Query(self, request: pb.QueryRequest, call: Call) -> pb.QueryResponse:
        checker = Checker()
        limit, offset = requests.page(checker, request.limit, request.offset)
        condition = requests.node_filter(checker, request)
        checker.done()
        condition = await self._writer.before_query(call.context, condition)
        page = await self._store.query(call.tenant, condition, limit, offset)
        self._writer.plugins.after("query", call.context, condition)
        reply = pb.QueryResponse(total_count=page.total_count)
        for node in page.nodes:
            to_wire.fill_node(reply.nodes.add(), node)
        return reply

    async def StreamQuery(self, request: pb.QueryRequest, call: Call) -> AsyncIterator[pb.Node]:
        """limit 0 means every node; otherwise limit and offset are Query's."""
        checker = Checker()
        _, offset = requests.page(checker, request.limit, request.offset)
        condition = requests.node_filter(checker, request)
        checker.done()
        condition = await self._writer.before_query(call.context, condition)
        remaining = request.limit or None
        async for node in self._store.scan(call.tenant, condition):
            if offset:
                offset -= 1
                continue
            yield to_wire.node_to_wire(node)
            if remaining is not None:
                remaining -= 1
                if remaining == 0:
                    break
        self._writer.plugins.after("query", call.context, condition)

    async def AddPrompt(self, request: pb.AddPromptRequest, call: Call) -> pb.PromptNode:
        metadata = from_wire.prompt_metadata(request.metadata) if request.HasField("metadata") else None
        data = PromptData(session_id=request.session_id.lower(), content=request.content, metadata=metadata)
        return to_wire.prompt_to_wire(await self._add(NodeType.PROMPT, data, call))

    async def AddResponse(self, request: pb.AddResponseRequest, call: Call) -> pb.ResponseNode:
        return to_wire.response_to_wire(await self._add(NodeType.RESPONSE, from_wire.response_data(request), call))

    async def AddToolInvocation(self, request: pb.AddToolInvocationRequest, call: Call) -> pb.ToolInvocationNode:
        wrapped = pb.Node(type=pb.NODE_TYPE_TOOL_INVOCATION, tool_invocation=request.tool_invocation)
        (created,) = (await self._create_nodes([wrapped], ["tool_invocation"], call))[0]
        return to_wire.tool_to_wire(created)

    async def CreateTemplate(self, request: pb.CreateTemplateRequest, call: Call) -> pb.TemplateNode:
        wrapped = pb.Node(type=pb.NODE_TYPE_TEMPLATE, template=request.template)
        (created,) = (await self._create_nodes([wrapped], ["template"], call))[0]
        return to_wire.template_to_wire(created)

    async def InstantiateTemplate(self, request: pb.InstantiateTemplateRequest, call: Call) -> pb.PromptNode:
        checker = Checker()
        template_id = checker.id("template_id", request.template_id)
        session_id = checker.id("session_id", request.session_id)
        checker.done()
        prompt = await self._writer.instantiate(call.context, template_id, dict(request.variable_values), session_id)
        return to_wire.prompt_to_wire(prompt)

    async def StreamEvents(self, request: pb.StreamEventsRequest, call: Call) -> AsyncIterator[pb.Event]:
        session_id, types = requests.events(request)
        async for commit in self._commits(call, session_id, types):
            for event in commit:
                yield to_wire.event_to_wire(event)

    async def SubscribeToSession(self, request: pb.SubscribeRequest, call: Call) -> AsyncIterator[pb.SessionEvent]:
        session_id = requests.one_id("session_id", request.session_id)
        await self._writer.get_session(call.tenant, session_id)
        async for commit in self._commits(call, session_id, frozenset()):
            for event in commit:
                yield pb.SessionEvent(event=to_wire.event_to_wire(event), session_id=session_id)

    async def Health(self, request: Empty, call: Call) -> pb.HealthResponse:
        status = pb.HealthResponse.SERVING if self._serving() else pb.HealthResponse.NOT_SERVING
        uptime = int(time.monotonic() - self._started)
        return pb.HealthResponse(status=status, version=__version__, uptime_seconds=uptime)

    async def GetMetrics(self, request: Empty, call: Call) -> pb.MetricsResponse:
        stats = await self._store.stats(call.tenant)
        return pb.MetricsResponse(
            total_nodes=stats.nodes,
            total_edges=stats.edges,
            total_sessions=stats.sessions,
            active_sessions=stats.active_sessions,
            avg_write_latency_ms=self._metrics.average_write_ms(),
            avg_read_latency_ms=self._metrics.average_read_ms(),
            requests_per_second=round(self._metrics.requests_per_second()),
        )

    async def _create_nodes(self, messages: Sequence[pb.Node], paths: list[str], call: Call) -> tuple[list[Node], int]:
        nodes = requests.created_nodes(messages, paths, new_id=self._writer.new_id, now=self._writer.now())
        applied = await self._writer.create(call.context, nodes, paths)
        return [result for result in applied.results if isinstance(result, Node)], applied.created

    async def _add(self, node_type: NodeType, data: NodeData, call: Call) -> Node:
        now = self._writer.now()
        session_id = data.session_id if isinstance(data, PromptData) else None
        node = Node(
            id=self._writer.new_id(), type=node_type, data=data, created_at=now, updated_at=now, session_id=session_id
        )
        result = (await self._writer.create(call.context, (node,), ("",))).results[0]
        assert isinstance(result, Node)
        return result

    def _commits(self, call: Call, session_id: str | None, types: frozenset[int]) -> AsyncIterator[list[Event]]:
        def matches(event: Event) -> bool:
            return (session_id is None or event.session_id == session_id) and (not types or event.type in types)

        return feed.commits(
            self._store,
            call.tenant,
            after=requests.last_event_id(call),
            matches=matches,
            session_id=session_id,
            draining=call.draining,
            on_subscribed=call.accept,
        )
