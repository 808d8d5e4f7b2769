"""The service's Prometheus metrics (contract §8): the `memory_graph_*` family as far as this service measures it.

A metric is declared here only when code updates it; the families of ingestion, registry and vault come with the code
that measures them. Tenant ids are never labels: their number is not bounded.
"""

from __future__ import annotations

import time
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

_CALL_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Dense around 20 ms and 100 ms: the latencies the service promises, and the alert and the autoscaler look at."""
_STORE_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
_RATE_WINDOW_S = 10


class Metrics:
    """Every metric of one service process, on a registry of its own.

    Attributes named after a metric without its prefix are the metric itself, for `observe`, `inc` and `set`.
    """

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        Gauge(
            "memory_graph_build_info", "Version of the service; always 1", ["version"], registry=self.registry
        ).labels(version).set(1)
        self._declare_calls()
        self._declare_graph()
        self._declare_plugins()

    def _declare_calls(self) -> None:
        self._requests = Counter(
            "memory_graph_grpc_requests_total",
            "gRPC calls ended, by method and gRPC code name",
            ["method", "status"],
            registry=self.registry,
        )
        self._request_seconds = Histogram(
            "memory_graph_grpc_request_duration_seconds",
            "Time from the start of a gRPC call to its end",
            ["method"],
            buckets=_CALL_BUCKETS_S,
            registry=self.registry,
        )
        self.grpc_active_streams = Gauge(
            "memory_graph_grpc_active_streams", "Server-streaming gRPC calls open now", registry=self.registry
        )
        self._rate = _Rate(_RATE_WINDOW_S)
        self._methods: dict[str, MethodMetrics] = {}

    def _declare_graph(self) -> None:
        self.nodes_total = Gauge(
            "memory_graph_nodes_total", "Nodes in the graph now, of all tenants", registry=self.registry
        )
        self.edges_total = Gauge(
            "memory_graph_edges_total", "Edges in the graph now, of all tenants", registry=self.registry
        )
        self.sessions_active = Gauge(
            "memory_graph_sessions_active", "Sessions that are not closed, of all tenants", registry=self.registry
        )
        self.write_latency_seconds = _histogram(
            self.registry,
            "memory_graph_write_latency_seconds",
            "Time of a store write, from its request until it is durable",
        )
        self.read_latency_seconds = _histogram(
            self.registry, "memory_graph_read_latency_seconds", "Time of a store read other than a query"
        )
        self.query_duration_seconds = _histogram(
            self.registry, "memory_graph_query_duration_seconds", "Time of a filtered query or a full-text search"
        )

    def _declare_plugins(self) -> None:
        self._plugin_executions = Counter(
            "memory_graph_plugin_executions_total",
            "Plugin hooks called",
            ["plugin", "hook"],
            registry=self.registry,
        )
        self._plugin_seconds = Histogram(
            "memory_graph_plugin_duration_seconds",
            "Time of a plugin hook",
            ["plugin", "hook"],
            buckets=_STORE_BUCKETS_S,
            registry=self.registry,
        )
        self._plugin_errors = Counter(
            "memory_graph_plugin_errors_total",
            "Plugin hooks that failed: timeout, dropped, bad_value, or the name of the exception",
            ["plugin", "error_type"],
            registry=self.registry,
        )

    def method(self, name: str) -> MethodMetrics:
        """The metrics of one gRPC method, bound once so that a call costs no label look-up."""
        bound = self._methods.get(name)
        if bound is None:
            bound = self._methods[name] = MethodMetrics(name, self._requests, self._request_seconds, self._rate)
        return bound

    def hook(self, plugin: str, hook: str) -> HookMetrics:
        """The metrics of one hook of one plugin; keep what is returned."""
        return HookMetrics(plugin, hook, self._plugin_executions, self._plugin_seconds, self._plugin_errors)

    def store(self) -> StoreMetrics:
        """The metrics of the embedded store's writer; declared by this call, which a process makes once."""
        return StoreMetrics(self.registry)

    def set_graph_size(self, *, nodes: int, edges: int, active_sessions: int) -> None:
        """Sets the gauges of the graph's size, summed over all tenants."""
        self.nodes_total.set(nodes)
        self.edges_total.set(edges)
        self.sessions_active.set(active_sessions)

    def average_write_ms(self) -> float:
        """Mean of write_latency_seconds since the start, in milliseconds; 0 before the first write."""
        return _mean_ms(self.write_latency_seconds)

    def average_read_ms(self) -> float:
        """Mean of read_latency_seconds and query_duration_seconds since the start, in milliseconds; 0 before the
        first read."""
        return _mean_ms(self.read_latency_seconds, self.query_duration_seconds)

    def requests_per_second(self) -> float:
        """gRPC calls ended a second, over the last ten whole seconds."""
        return self._rate.per_second()


class MethodMetrics:
    """The metrics of one gRPC method."""

    def __init__(self, method: str, requests: Counter, seconds: Histogram, rate: _Rate) -> None:
        self._seconds = seconds.labels(method)
        self._rate = rate
        self._by_status = cache(lambda status: requests.labels(method, status))

    def ended(self, status: str, seconds: float) -> None:
        """Counts a call. status: the gRPC code's name, `OK` on success."""
        self._by_status(status).inc()
        self._seconds.observe(seconds)
        self._rate.hit()


class StoreMetrics:
    """The metrics of a writer that commits in groups."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._mutations = Histogram(
            "memory_graph_store_commit_mutations",
            "Mutations that shared one commit",
            buckets=_BATCH_SIZES,
            registry=registry,
        )
        self._seconds = _histogram(
            registry, "memory_graph_store_commit_seconds", "Time of one commit, from its first row to its fsync"
        )
        self._pending = Gauge(
            "memory_graph_store_queue_bytes", "Bytes of writes accepted and not yet committed", registry=registry
        )

    def committed(self, mutations: int, seconds: float) -> None:
        """Counts a commit."""
        self._mutations.observe(mutations)
        self._seconds.observe(seconds)

    def pending(self, size: int) -> None:
        """Set the bytes that wait."""
        self._pending.set(size)


class HookMetrics:
    """The metrics of one hook of one plugin."""

    def __init__(self, plugin: str, hook: str, executions: Counter, seconds: Histogram, errors: Counter) -> None:
        self._executions = executions.labels(plugin, hook)
        self._seconds = seconds.labels(plugin, hook)
        self._errors = errors
        self._plugin = plugin

    def ran(self, seconds: float) -> None:
        """Counts a call of the hook, however it ended."""
        self._executions.inc()
        self._seconds.observe(seconds)

    def failed(self, error_type: str) -> None:
        """Counts a failure; a veto is none."""
        self._errors.labels(self._plugin, error_type).inc()


class _Rate:
    """Counts per second of the last whole seconds, in constant space."""

    def __init__(self, window_s: int) -> None:
        self._window = window_s
        self._counts = [0] * (window_s + 1)
        self._second = int(time.monotonic())

    def hit(self) -> None:
        self._advance()
        self._counts[self._second % len(self._counts)] += 1

    def per_second(self) -> float:
        self._advance()
        current = self._second % len(self._counts)
        return (sum(self._counts) - self._counts[current]) / self._window

    def _advance(self) -> None:
        now = int(time.monotonic())
        for second in range(max(self._second + 1, now - self._window), now + 1):
            self._counts[second % len(self._counts)] = 0
        self._second = now


def _histogram(registry: CollectorRegistry, name: str, help_text: str) -> Histogram:
    return Histogram(name, help_text, buckets=_STORE_BUCKETS_S, registry=registry)


def _mean_ms(*histograms: Histogram) -> float:
    total = count = 0.0
    for histogram in histograms:
        for sample in next(iter(histogram.collect())).samples:
            if sample.name.endswith("_sum"):
                total += sample.value
            elif sample.name.endswith("_count"):
                count += sample.value
    return total / count * 1000 if count else 0.0
