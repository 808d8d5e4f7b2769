"""The metrics of contract §8, and the port they are scraped from."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from memory_graph.telemetry import metrics as module
from memory_graph.telemetry.exposition import start_metrics_server
from memory_graph.telemetry.metrics import Metrics

NOT_MEASURED_YET = ("registry_", "vault_")


@pytest.fixture
def metrics():
    return Metrics("1.2.3")


@pytest.fixture
def server(metrics):
    ready = [True]
    handle = start_metrics_server("127.0.0.1", 0, metrics.registry, lambda: ready[0])
    handle.ready = ready
    yield handle
    handle.close()


def fetch(server, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def exercise(metrics):
    metrics.method("AddPrompt").ended("OK", 0.002)
    metrics.hook("a", "before_query").ran(0.001)
    metrics.hook("a", "before_query").failed("timeout")


def test_exports_the_contract_and_nothing_nobody_updates(metrics, server):
    exercise(metrics)
    _, text = fetch(server, "/metrics")
    exported = {
        sample.name: set(sample.labels) - {"le"}
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    expected = {
        "memory_graph_grpc_requests_total": {"method", "status"},
        "memory_graph_grpc_request_duration_seconds_bucket": {"method"},
        "memory_graph_grpc_active_streams": set(),
        "memory_graph_nodes_total": set(),
        "memory_graph_edges_total": set(),
        "memory_graph_sessions_active": set(),
        "memory_graph_write_latency_seconds_bucket": set(),
        "memory_graph_read_latency_seconds_bucket": set(),
        "memory_graph_query_duration_seconds_bucket": set(),
        "memory_graph_plugin_executions_total": {"plugin", "hook"},
        "memory_graph_plugin_duration_seconds_bucket": {"plugin", "hook"},
        "memory_graph_plugin_errors_total": {"plugin", "error_type"},
        "process_resident_memory_bytes": set(),
    }
    assert {name: exported.get(name) for name in expected} == expected
    assert not [name for name in exported if name.removeprefix("memory_graph_").startswith(NOT_MEASURED_YET)]
    assert not [name for name in exported if name.startswith("llm_memory_graph_")]
    assert 'memory_graph_build_info{version="1.2.3"} 1.0' in text


def test_counts_calls_by_method_and_status(metrics):
    metrics.method("AddPrompt").ended("OK", 0.002)
    metrics.method("AddPrompt").ended("OK", 0.004)
    metrics.method("AddPrompt").ended("NOT_FOUND", 0.001)
    value = metrics.registry.get_sample_value
    name = "memory_graph_grpc_requests_total"
    assert value(name, {"method": "AddPrompt", "status": "OK"}) == 2
    assert value(name, {"method": "AddPrompt", "status": "NOT_FOUND"}) == 1
    assert value("memory_graph_grpc_request_duration_seconds_count", {"method": "AddPrompt"}) == 3


def test_averages_are_measured(metrics):
    assert (metrics.average_write_ms(), metrics.average_read_ms()) == (0, 0)
    metrics.write_latency_seconds.observe(0.010)
    metrics.write_latency_seconds.observe(0.030)
    metrics.read_latency_seconds.observe(0.002)
    metrics.query_duration_seconds.observe(0.004)
    assert metrics.average_write_ms() == pytest.approx(20)
    assert metrics.average_read_ms() == pytest.approx(3)


def test_rate_is_over_the_last_ten_whole_seconds(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    metrics = Metrics("0")
    method = metrics.method("Query")
    for _ in range(50):
        method.ended("OK", 0.001)
    assert metrics.requests_per_second() == 0, "the running second is not whole"
    now[0] = 1001.0
    assert metrics.requests_per_second() == 5
    now[0] = 1010.9
    assert metrics.requests_per_second() == 5
    now[0] = 1011.0
    assert metrics.requests_per_second() == 0
    now[0] = 5000.0
    assert metrics.requests_per_second() == 0


def test_graph_size_is_set_as_a_whole(metrics):
    metrics.set_graph_size(nodes=3, edges=2, active_sessions=1)
    names = ("nodes_total", "edges_total", "sessions_active")
    assert [metrics.registry.get_sample_value(f"memory_graph_{name}") for name in names] == [3, 2, 1]


def test_health_follows_readiness(server):
    assert fetch(server, "/healthz") == (200, "ok\n")
    server.ready[0] = False
    assert fetch(server, "/healthz") == (503, "not ready\n")
    assert fetch(server, "/other")[0] == 404


def test_close_frees_the_port_and_may_be_repeated(metrics):
    handle = start_metrics_server("127.0.0.1", 0, metrics.registry, lambda: True)
    handle.close()
    handle.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", handle.port), timeout=10)


def test_a_taken_port_is_an_error(server, metrics):
    with pytest.raises(OSError, match="in use"):
        start_metrics_server("127.0.0.1", server.port, metrics.registry, lambda: True)


def test_the_stores_commits_are_exported_once_somebody_measures_them(metrics):
    value = metrics.registry.get_sample_value
    assert value("memory_graph_store_commit_mutations_count") is None
    store = metrics.store()
    store.committed(3, 0.001)
    store.pending(700)
    assert value("memory_graph_store_commit_mutations_sum") == 3
    assert value("memory_graph_store_commit_seconds_count") == 1
    assert value("memory_graph_store_queue_bytes") == 700
