"""The resources that every process of the service opens at its start and closes at its end."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import msgspec
import structlog

from memory_graph import __version__
from memory_graph.config import Settings
from memory_graph.ingest.conversations.pending_responses import PendingLimits
from memory_graph.plugins import PluginHost, load_plugins
from memory_graph.runtime.supervisor import Supervisor, TaskFailed
from memory_graph.store.protocol import GraphStore
from memory_graph.store.sqlite import open_store
from memory_graph.telemetry.exposition import MetricsServer, start_metrics_server
from memory_graph.telemetry.ingestion import IngestionMetrics
from memory_graph.telemetry.instrumented_store import InstrumentedStore
from memory_graph.telemetry.logs import configure_logging
from memory_graph.telemetry.metrics import Metrics
from memory_graph.telemetry.traces import Tracing, start_tracing

_log = structlog.get_logger(__name__)

STORE_FILE = "memory-graph.db"
"""Name of the embedded store's file below DB_PATH."""
TELEMETRY_FLUSH_S = 2.0
"""Longest time that spans and after-hooks get at the end."""
SHUTDOWN_TIMEOUT_S = 15.0
"""How long the end of a process with a failed task may take beyond its drain. For one that was asked to stop,
Kubernetes decides."""


class StartError(Exception):
    """The server cannot start; the text says why and the way out."""


class Runtime(msgspec.Struct, frozen=True):
    """The open resources of a process. supervisor: of the background tasks; SIGTERM and SIGINT set its `stopping`.
    instrumented_store: the store, with metrics of its latencies."""

    supervisor: Supervisor
    metrics: Metrics
    tracing: Tracing
    store: GraphStore
    instrumented_store: InstrumentedStore
    plugins: PluginHost
    ingestion: IngestionMetrics


Main = Callable[["Runtime", AsyncExitStack], Awaitable[None]]
"""Runs a process until it has drained. What it opens on the stack is closed then, in the other order."""


def run_process(settings: Settings, main: Main) -> None:
    """Runs a process from its start to its end. Raises what `open_runtime` and `main` do."""
    configure_logging(settings.log_level, sys.stdout)
    tune_gc()
    asyncio.run(_run(settings, main))


async def _run(settings: Settings, main: Main) -> None:
    async with open_runtime(settings) as runtime, AsyncExitStack() as stack:
        try:
            await main(runtime, stack)
        finally:
            runtime.supervisor.stopping.set()  # also after a failed start: tasks may end from here on
    _log.info("stopped")


def tune_gc() -> None:
    """Makes garbage collection rare. Requests make many objects that live until their commit: at the default threshold
    the collector walks them and every module again and again (half the time of a write of 1,000 nodes)."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@asynccontextmanager
async def open_runtime(settings: Settings) -> AsyncIterator[Runtime]:
    """Open the resources of a process for the block.

    Raises:
        StartError: a directory cannot be used.
        StoreUnavailable: the embedded store's file has another owner.
        StoreCorrupt: the store cannot be used.
        PluginLoadError: a plugin cannot be loaded.
        TaskFailed: at the end, where a background task has ended unasked.
    """
    metrics = Metrics(__version__)

    def bound_shutdown(_: TaskFailed) -> None:
        faulthandler.dump_traceback_later(settings.drain_seconds + SHUTDOWN_TIMEOUT_S, exit=True)

    async with AsyncExitStack() as stack:
        supervisor = await stack.enter_async_context(Supervisor(metrics.registry, bound_shutdown))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, supervisor.stopping.set)
        tracing = start_tracing(settings.otel_exporter_otlp_endpoint, __version__)
        stack.callback(tracing.shutdown, TELEMETRY_FLUSH_S)
        store = await _open_configured_store(settings, metrics, supervisor)
        stack.push_async_callback(store.close)
        plugins = load_plugins(settings.plugin_dirs, settings.plugin_timeout_ms / 1000, metrics)
        stack.push_async_callback(plugins.close, TELEMETRY_FLUSH_S)
        yield Runtime(
            supervisor=supervisor,
            metrics=metrics,
            tracing=tracing,
            store=store,
            instrumented_store=InstrumentedStore(store, metrics),
            plugins=plugins,
            ingestion=IngestionMetrics(metrics.registry),
        )


async def _open_configured_store(settings: Settings, metrics: Metrics, supervisor: Supervisor) -> GraphStore:
    """Open the store of the settings. Neo4j need not answer yet: until it does the server is not serving."""
    if settings.store == "neo4j":
        from memory_graph.store import neo4j  # noqa: PLC0415 - an embedded server has no use for the driver's 20 MiB

        assert settings.neo4j_uri is not None
        return neo4j.open_store(
            settings.neo4j_uri,
            username=settings.neo4j_username or None,
            password=lambda: settings.neo4j_secret,
            database=settings.neo4j_database,
            max_connections=settings.neo4j_max_connections,
            keep_changes=settings.feed_retention_commits,
            max_buffered_events=settings.feed_buffer_events,
            observer=metrics.store(),
            spawn=supervisor.start,
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
    """Serve metrics and health checks by HTTP. Raises `StartError`."""
    try:
        return start_metrics_server(settings.grpc_host, settings.metrics_port, metrics.registry, ready)
    except OSError as error:
        address = f"{settings.grpc_host}:{settings.metrics_port}"
        raise StartError(f"cannot listen on {address} for metrics: {error.strerror}; set METRICS_PORT") from None


def waiting_limits(settings: Settings) -> PendingLimits:
    """Return the bounds of the responses that wait for their prompts."""
    return PendingLimits(max_count=settings.telemetry_waiting_responses, max_age_s=float(settings.telemetry_waiting_s))
