"""Metrics of telemetry on its way into the graph (contract §8, `llm_memory_graph_*` and `circuit_breaker_state`).

Every event received is processed or dropped, once: received = processed + dropped, when nothing is under way.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_PROCESSING_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10, 30, 60, 600)
_WRITE_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class IngestionMetrics:
    """The metrics of one process. Event types are those of the contract, or `unknown`: their number is bounded."""

    def __init__(self, registry: CollectorRegistry) -> None:
        received = Counter(
            "llm_memory_graph_events_received_total",
            "Events that arrived, by where they came from",
            ["event_type", "source"],
            registry=registry,
        )
        processed = Counter(
            "llm_memory_graph_events_processed_total",
            "Events that are durable: stored now, a duplicate of one that was, or waiting for their prompt",
            ["event_type", "status"],
            registry=registry,
        )
        dropped = Counter(
            "llm_memory_graph_events_dropped_total",
            "Events that were not stored and went to the dead letters, by reason",
            ["event_type", "reason"],
            registry=registry,
        )
        seconds = Histogram(
            "llm_memory_graph_event_processing_duration_seconds",
            "Time from the arrival of an event until it is durable",
            ["event_type"],
            buckets=_PROCESSING_BUCKETS_S,
            registry=registry,
        )
        writes = Histogram(
            "llm_memory_graph_graph_write_duration_seconds",
            "Time of a graph write of events: many in one batch, or the one that was left of a batch",
            ["operation_type"],
            buckets=_WRITE_BUCKETS_S,
            registry=registry,
        )
        self._buffers = Gauge(
            "llm_memory_graph_buffer_utilization_percent",
            "How much of its bytes a buffer of accepted events holds",
            ["consumer_id"],
            registry=registry,
        )
        self._breakers = Gauge(
            "circuit_breaker_state",
            "State of the circuit breaker of a dependency: 0 closed, 1 half-open, 2 open",
            ["service"],
            registry=registry,
        )
        self._waiting = Gauge(
            "llm_memory_graph_responses_waiting",
            "Responses that wait in the store for their prompts",
            registry=registry,
        )
        self._received = cache(received.labels)
        self._processed = cache(processed.labels)
        self._dropped = cache(dropped.labels)
        self._seconds = cache(seconds.labels)
        self._writes = cache(writes.labels)

    def received(self, event_type: str, source: str, events: int = 1) -> None:
        """Counts events of one type that arrived."""
        self._received(event_type, source).inc(events)

    def processed(self, event_type: str, status: str, seconds: float) -> None:
        """Counts an event that is durable. status: `stored`, `duplicate` or `waiting` (for its prompt). seconds: since
        it arrived."""
        self._processed(event_type, status).inc()
        self._seconds(event_type).observe(seconds)

    def dropped(self, event_type: str, reason: str) -> None:
        """Counts an event that is not stored and will not be."""
        self._dropped(event_type, reason).inc()

    def wrote(self, operation_type: str, seconds: float) -> None:
        """Observes a graph write. operation_type: `batch` or `single`."""
        self._writes(operation_type).observe(seconds)

    def watch_buffer(self, consumer_id: str, percent: Callable[[], float]) -> None:
        """Shows a buffer as it is when the metrics are read, by another thread."""
        self._buffers.labels(consumer_id).set_function(percent)

    def watch_waiting(self, count: Callable[[], float]) -> None:
        """Shows how many responses wait for their prompts, like `watch_buffer`."""
        self._waiting.set_function(count)

    def breaker(self, service: str, state: int) -> None:
        """Shows a breaker's state."""
        self._breakers.labels(service).set(state)
