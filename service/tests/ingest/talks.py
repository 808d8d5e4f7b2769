"""Conversation events for tests, and the graph that came of them."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter

from prometheus_client import CollectorRegistry

from memory_graph.ingest.clock_and_ids import ClockAndIds
from memory_graph.ingest.conversations import decode
from memory_graph.ingest.conversations.pending_responses import PendingLimits
from memory_graph.ingest.dead_letters import DeadLetterHandlers, count_and_log
from memory_graph.ingest.pipeline import Pipeline, PipelineSettings
from memory_graph.ingest.telemetry.events import Rejected
from memory_graph.model.kinds import Direction, NodeType
from memory_graph.model.nodes import is_stub
from memory_graph.model.queries import NodeFilter
from memory_graph.telemetry.ingestion import IngestionMetrics
from store.graphs import TENANT

AT = "2026-03-01T10:00:00Z"
LATER = "2026-03-01T10:00:02.500+00:00"
SESSION = "0198f3a2-7c44-7bd1-9f0e-3b8f2f1c5a77"


def prompt_body(event_id: str = "p-1", session: str = SESSION, **changed: object) -> bytes:
    """A PromptEvent with everything in it."""
    return json.dumps({
        "eventId": event_id,
        "timestamp": AT,
        "prompt": {"text": "Find me a train", "template": "greeting", "parameters": {"to": "Madrid"},
                   "images": ["https://images.example/1.png"], "metadata": {"team": "travel", "vip": True}},
        "session": {"id": session, "userId": "ann", "applicationId": "app", "purpose": "chat"},
        "model": {"id": "large", "provider": "acme", "version": "2",
                  "parameters": {"temperature": 0.5, "topP": 0.9, "topK": 40, "maxTokens": 100,
                                 "stopSequences": ["END"], "presencePenalty": 0.1, "frequencyPenalty": 0.2}},
        "context": {"conversationHistory": [{"role": "user", "content": "Hi"}],
                    "documents": [{"id": "d-1", "content": "timetable", "relevanceScore": 0.8}],
                    "retrievalMethod": "hybrid"},
        "tags": ["a", "b"],
        "traceContext": {"traceId": "t-1", "spanId": "s-1", "parentSpanId": "s-0"},
        **changed,
    }).encode()  # fmt: skip


def response_body(event_id: str = "r-1", prompt: str = "p-1", **changed: object) -> bytes:
    """A ResponseEvent with everything in it."""
    return json.dumps({
        "eventId": event_id,
        "timestamp": LATER,
        "promptEventId": prompt,
        "response": {
            "text": "There are two.", "finishReason": "stop",
            "functionCall": {"name": "legacy", "arguments": "{\"a\": 1}"},
            "toolCalls": [
                {"id": "c-1", "type": "function", "function": {"name": "search", "arguments": "{not json"}},
                {"name": "book", "arguments": {"train": 7}, "result": {"seat": "4A"}, "durationMs": 12.4},
                {"name": "pay", "error": "declined", "retryCount": 2},
            ],
        },
        "usage": {"promptTokens": 10, "completionTokens": 5},
        "metrics": {"latency": 812.6, "ttft": 90, "throughput": 33.5, "cost": 0.0042},
        "error": {"code": 429, "message": "slow down", "type": "rate_limit", "recoverable": True},
        "tags": {"env": "test"},
        "traceContext": {"traceId": "t-1"},
        **changed,
    }).encode()  # fmt: skip


def session_body(event_id: str = "s-1", kind: str = "started", session: str = SESSION, **changed: object) -> bytes:
    """A SessionEvent."""
    return json.dumps({
        "eventId": event_id,
        "eventType": f"session.{kind}",
        "timestamp": AT,
        "session": {"id": session, "userId": "ann", "applicationId": "app", "purpose": "chat"},
        "metadata": {"channel": "web"} if kind == "started" else {"reason": "done"},
        "tags": ["x"],
        **changed,
    }).encode()  # fmt: skip


def prompt(*of: str, **changed: object):
    return decode.decode_prompt(prompt_body(*of, **changed))


def response(*of: str, **changed: object):
    return decode.decode_response(response_body(*of, **changed))


def session(*of: str, **changed: object):
    return decode.decode_session(session_body(*of, **changed))


class Ingestion:
    """A pipeline into a store. rejected: rejected events; expired: expired events with their tenants."""

    def __init__(self, store, limits: PendingLimits | None = None, now=time.time_ns, plugins=None) -> None:
        self.registry = CollectorRegistry()
        self.rejected: list[Rejected] = []
        self.expired: list[tuple[str, Rejected]] = []
        metrics = IngestionMetrics(self.registry)
        counted = count_and_log(metrics)

        def on_rejected(events) -> None:
            counted(events)
            self.rejected.extend(events)

        async def on_expired(tenant, events) -> None:
            self.expired += [(tenant, event) for event in events]

        self.pipeline = Pipeline(
            store,
            metrics,
            PipelineSettings(max_bytes=10_000_000, max_wait_s=60, pending=limits or PendingLimits()),
            DeadLetterHandlers(on_rejected, on_expired),
            draining=asyncio.Event(),
            plugins=plugins,
            ports=ClockAndIds(now=now),
        )

    async def send(self, *events, tenant: str = TENANT) -> list[Rejected | None]:
        await self.pipeline.reserve(100)
        return await self.pipeline.submit(tenant, list(events), 100)

    def counted(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


async def graph_of(store, tenant: str = TENANT):
    """Return the content of a store: nodes by id, edges with their counts, and the totals.

    The times of sessions and models are left out: they are those of the first event that names them.
    """
    nodes, edges = {}, Counter()
    for type in NodeType:
        async for node in store.scan(tenant, NodeFilter(type=type)):
            dated = node.type not in (NodeType.SESSION, NodeType.MODEL) and not is_stub(node)
            nodes[node.id] = (node.type, node.data, node.session_id, node.created_at if dated else 0)
            for edge in await store.get_edges(tenant, node.id, Direction.OUTGOING, None):
                edges[edge.type, edge.from_id, edge.to_id] += 1
    stats = await store.stats(tenant)
    return nodes, edges, (stats.nodes, stats.edges, stats.sessions, stats.active_sessions)
