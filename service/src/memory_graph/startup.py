"""What every process of the service starts with, and lets go of at its end."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import msgspec

from memory_graph import __version__
from memory_graph.config import Settings
from memory_graph.ingest.conversations.waiting import WaitingLimits
from memory_graph.plugins import PluginHost, load_plugins
from memory_graph.store.protocol import GraphStore
from memory_graph.store.sqlite import open_store
from memory_graph.telemetry.exposition import MetricsServer, start_metrics_server
from memory_graph.telemetry.ingestion import IngestionMetrics
from memory_graph.telemetry.logs import configure_logging
from memory_graph.telemetry.measured import MeasuredStore
from memory_graph.telemetry.metrics import Metrics
from memory_graph.telemetry.traces import Tracing, start_tracing

STORE_FILE = "memory-graph.db"
"""Name of the embedded store's file below DB_PATH."""
HEALTH_INTERVAL_S = 1.0
"""How often the store is asked whether it works."""
TELEMETRY_FLUSH_S = 2.0
"""Most time that spans and after-hooks get at the end."""


class StartError(Exception):
    """The server cannot start; the text says why and the way out."""


class Started(msgspec.Struct, frozen=True):
    """stopping: set by SIGTERM and SIGINT. measured: the store, with its latencies measured."""

    stopping: asyncio.Event
    metrics: Metrics
    tracing: Tracing
    store: GraphStore
    measured: MeasuredStore
    plugins: PluginHost
    ingestion: IngestionMetrics


def prepare(settings: Settings) -> None:
    """Before the event loop: logs, and the garbage collector."""
    configure_logging(settings.log_level, sys.stdout)
    calm_collector()


def calm_collector() -> None:
    """Makes garbage collection rare. Requests make many objects that live until their commit: at the default threshold
    the collector walks them and every module again and again (half the time of a write of 1,000 nodes)."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@asynccontextmanager
async def started(settings: Settings) -> AsyncIterator[Started]:
    """Open in the block.

    Raises:
        StartError: a directory cannot be used.
        StoreUnavailable: the embedded store's file has another owner.
        StoreCorrupt: the store cannot be used.
        PluginLoadError: a plugin cannot be loaded.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    metrics = Metrics(__version__)
    async with AsyncExitStack() as stack:
        tracing = start_tracing(settings.otel_exporter_otlp_endpoint, __version__)
        stack.callback(tracing.shutdown, TELEMETRY_FLUSH_S)
        store = await _open_configured_store(settings, metrics)
        stack.push_async_callback(store.close)
        plugins = load_plugins(settings.plugin_dirs, settings.plugin_timeout_ms / 1000, metrics)
        stack.push_async_callback(plugins.close, TELEMETRY_FLUSH_S)
        yield Started(
            stopping=stopping,
            metrics=metrics,
            tracing=tracing,
            store=store,
            measured=MeasuredStore(store, metrics),
            plugins=plugins,
            ingestion=IngestionMetrics(metrics.registry),
        )


async def _open_configured_store(settings: Settings, metrics: Metrics) -> GraphStore:
    """The store of the settings. Neo4j need not be there yet: the server is not serving until it is."""
    if settings.store == "neo4j":
        from memory_graph.store import neo4j  # noqa: PLC0415 - an embedded server has no use for the driver's 20 MiB

        assert settings.neo4j_uri is not None
        return neo4j.open_store(
            settings.neo4j_uri,
            username=settings.neo4j_username or None,
            password=settings.neo4j_secret,
            database=settings.neo4j_database,
            max_connections=settings.neo4j_max_connections,
            keep_changes=settings.feed_retention_commits,
            max_buffered_events=settings.feed_buffer_events,
            observer=metrics.store(),
        )
    try:
        settings.db_path.mkdir(parents=True, exist_ok=True)
        opening = partial(
            open_store,
            settings.db_path / STORE_FILE,
            keep_changes=settings.feed_retention_commits,
            max_buffered_events=settings.feed_buffer_events,
            observer=metrics.store(),
        )
        return await asyncio.to_thread(opening)
    except OSError as error:
        raise StartError(
            f"DB_PATH={settings.db_path} cannot be used: {error.strerror};"
            " set DB_PATH to a directory this user may write"
        ) from None


def expose(settings: Settings, metrics: Metrics, ready: Callable[[], bool]) -> MetricsServer:
    """Metrics and health checks by HTTP. Raises `StartError`."""
    try:
        return start_metrics_server(settings.grpc_host, settings.metrics_port, metrics.registry, ready)
    except OSError as error:
        address = f"{settings.grpc_host}:{settings.metrics_port}"
        raise StartError(f"cannot listen on {address} for metrics: {error.strerror}; set METRICS_PORT") from None


def waiting_limits(settings: Settings) -> WaitingLimits:
    """How many responses wait for their prompts, and how long."""
    return WaitingLimits(most=settings.telemetry_waiting_responses, age_s=float(settings.telemetry_waiting_s))
