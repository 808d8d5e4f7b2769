"""llm.observatory.v1.TelemetryStream (contract §2)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from memory_graph.api import feed, requests
from memory_graph.api.event_stream_receiver import EventStreamReceiver
from memory_graph.api.event_subscription import EventSubscription
from memory_graph.api.rpc import Call
from memory_graph.api.telemetry_requests import parse_subscription
from memory_graph.gen.llm.observatory.v1 import telemetry_stream_pb2 as pb
from memory_graph.ingest.pipeline import Pipeline
from memory_graph.store.protocol import GraphStore
from memory_graph.telemetry.ingestion import IngestionMetrics


class TelemetryStreamService:
    """The service TelemetryStream. max_stream_bytes: most unacknowledged bytes of one stream."""

    def __init__(
        self, pipeline: Pipeline, store: GraphStore, metrics: IngestionMetrics, *, max_stream_bytes: int
    ) -> None:
        self._pipeline = pipeline
        self._store = store
        self._metrics = metrics
        self._max_stream_bytes = max_stream_bytes

    async def StreamEvents(self, requests: AsyncIterator[bytes], call: Call) -> AsyncIterator[pb.EventResponse]:
        await call.accept()
        async with EventStreamReceiver(self._pipeline, self._metrics, call, self._max_stream_bytes) as receiver:
            receiver.read(requests)
            async for response in receiver.responses():
                yield response

    async def SubscribeEvents(self, request: pb.SubscriptionRequest, call: Call) -> AsyncIterator[pb.Event]:
        matches, buffer_size = parse_subscription(request)
        changes = feed.commits(
            self._store,
            call.tenant,
            after=requests.last_event_id(call),
            matches=EventSubscription.may_be_telemetry,
            session_id=None,
            draining=call.draining,
            on_subscribed=call.accept,
        )
        async with EventSubscription(self._store, call.tenant, matches, buffer_size) as subscription:
            subscription.follow(changes)
            async for event in subscription.events():
                yield event
