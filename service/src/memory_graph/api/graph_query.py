"""llm.memory.graph.v1.GraphQueryService: reads that follow edges, and the end of a session."""

from __future__ import annotations

from collections.abc import AsyncIterator

from memory_graph.api import requests, to_wire
from memory_graph.api.rpc import Call
from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb
from memory_graph.ingest.checks import Checker
from memory_graph.ingest.graph_writer import GraphWriter


class GraphQueryService:
    """The RPCs of GraphQueryService, a method each under the name of the contract."""

    def __init__(self, writer: GraphWriter) -> None:
        self._writer = writer
        self._store = writer.store

    async def Traverse(self, request: pb.TraverseRequest, call: Call) -> AsyncIterator[pb.Path]:
        async for path in self._store.traverse(call.tenant, requests.traversal(request)):
            yield pb.Path(
                nodes=[to_wire.node_to_wire(node) for node in path.nodes],
                edges=[to_wire.edge_to_wire(edge) for edge in path.edges],
            )

    async def Lineage(self, request: pb.LineageRequest, call: Call) -> pb.LineageResponse:
        steps = await self._store.lineage(call.tenant, requests.lineage(request))
        end = request.offset + request.limit if request.limit else None
        return pb.LineageResponse(
            total_count=len(steps),
            steps=[
                pb.LineageStep(
                    node=to_wire.node_to_wire(step.node),
                    distance=step.distance,
                    edge=to_wire.edge_to_wire(step.edge) if step.edge is not None else None,
                )
                for step in steps[request.offset : end]
            ],
        )

    async def SessionReplay(self, request: pb.SessionReplayRequest, call: Call) -> AsyncIterator[pb.ReplayStep]:
        checker = Checker()
        session_id = checker.id("session_id", request.session_id)
        at = requests.at(checker, request)
        checker.done()
        async for step in self._store.replay(call.tenant, session_id, at.as_of, at.known_at):
            yield pb.ReplayStep(
                node=to_wire.node_to_wire(step.node), edges=[to_wire.edge_to_wire(edge) for edge in step.edges]
            )

    async def CloseSession(self, request: pb.CloseSessionRequest, call: Call) -> pb.Session:
        session_id = requests.one_id("session_id", request.session_id)
        return to_wire.session_to_wire(await self._writer.close_session(call.context, session_id))
