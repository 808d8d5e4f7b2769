"""llm.observatory.v1.TelemetryStream (contract §2)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from memory_graph.api import feed
from memory_graph.api.event_intake import Intake
from memory_graph.api.event_outlet import Outlet, wanted_events
from memory_graph.api.rpc import Call
from memory_graph.gen.llm.observatory.v1 import telemetry_stream_pb2 as pb
from memory_graph.ingest.telemetry.pipeline import Pipeline
from memory_graph.store.protocol import GraphStore
from memory_graph.telemetry.ingestion import IngestionMetrics


class TelemetryStreamService:
    """max_stream_bytes: most that one stream may have sent and not read the acknowledgements of."""

    def __init__(
        self, pipeline: Pipeline, store: GraphStore, metrics: IngestionMetrics, *, max_stream_bytes: int
    ) -> None:
        self._pipeline = pipeline
        self._store = store
        self._metrics = metrics
        self._max_stream_bytes = max_stream_bytes

    async def StreamEvents(self, requests: AsyncIterator[bytes], call: Call) -> AsyncIterator[pb.EventResponse]:
        await call.accept()
        async with Intake(self._pipeline, self._metrics, call, self._max_stream_bytes) as intake:
            intake.read(requests)
            async for response in intake.responses():
                yield response

    async def SubscribeEvents(self, request: pb.SubscriptionRequest, call: Call) -> AsyncIterator[pb.Event]:
        wanted, most = wanted_events(request)
        changes = feed.commits(
            self._store,
            call.tenant,
            after=feed.resumed(call),
            wanted=Outlet.concerns,
            session_id=None,
            draining=call.draining,
            subscribed=call.accept,
        )
        async with Outlet(self._store, call.tenant, wanted, most) as outlet:
            outlet.follow(changes)
            async for event in outlet.events():
                yield event
