"""The status of the worker on this host, read from its metrics."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from memory_graph.config import Settings
from memory_graph.flow.circuit_breaker import BreakerState

_REQUEST_TIMEOUT_S = 2.0
_WILDCARD_ADDRESSES = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - a wildcard listener answers on loopback
_WORKER_METRIC = "llm_memory_graph_kafka_lag_messages"


class LocalStatus(msgspec.Struct, frozen=True):
    """A worker's buffer and breaker. buffer_percent: the share of the buffer that is held by events that are not
    durable yet. breaker: the state of the store's circuit breaker, as in `BreakerState`."""

    buffer_percent: float
    breaker: str


def local_status(settings: Settings) -> LocalStatus | None:
    """Read the status from the metrics port of the settings; None where no worker answers there."""
    host = _WILDCARD_ADDRESSES.get(settings.grpc_host, settings.grpc_host)
    connection = HTTPConnection(host, settings.metrics_port, timeout=_REQUEST_TIMEOUT_S)
    try:
        connection.request("GET", "/metrics")
        families = list(text_string_to_metric_families(connection.getresponse().read().decode()))
    except (HTTPException, OSError, ValueError):
        return None
    finally:
        connection.close()
    if all(family.name != _WORKER_METRIC for family in families):
        return None
    samples = {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}
    return LocalStatus(
        buffer_percent=samples["llm_memory_graph_buffer_utilization_percent", "telemetry"],
        breaker=BreakerState(int(samples["circuit_breaker_state", "store"])).name.lower().replace("_", "-"),
    )
