"""What the worker of this host says of itself, in its metrics."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from memory_graph.config import Settings
from memory_graph.flow.circuit_breaker import BreakerState

_ANSWER_S = 2.0
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what listens on all is reached on one
_OF_WORKERS = "llm_memory_graph_kafka_lag_messages"


class Own(msgspec.Struct, frozen=True):
    """buffer_percent: events that are not durable yet, of their bound. breaker: the store's, as `State` names it."""

    buffer_percent: float
    breaker: str


def own(settings: Settings) -> Own | None:
    """Asks the port of the settings; None where no worker answers there."""
    host = _ANY.get(settings.grpc_host, settings.grpc_host)
    connection = HTTPConnection(host, settings.metrics_port, timeout=_ANSWER_S)
    try:
        connection.request("GET", "/metrics")
        families = list(text_string_to_metric_families(connection.getresponse().read().decode()))
    except (HTTPException, OSError, ValueError):
        return None
    finally:
        connection.close()
    if all(family.name != _OF_WORKERS for family in families):
        return None
    found = {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}
    return Own(
        buffer_percent=found["llm_memory_graph_buffer_utilization_percent", "telemetry"],
        breaker=BreakerState(int(found["circuit_breaker_state", "store"])).name.lower().replace("_", "-"),
    )
