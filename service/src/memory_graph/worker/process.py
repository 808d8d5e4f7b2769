"""One worker process: joined, reading until SIGTERM or SIGINT, then drained, its offsets committed, the group left."""

from __future__ import annotations

import asyncio
import math
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack

import structlog

from memory_graph import __version__
from memory_graph.config import Settings, SettingsError
from memory_graph.ingest.telemetry.dead_letters import counted_and_logged
from memory_graph.ingest.telemetry.pipeline import Pipeline
from memory_graph.ingest.topics import DECODERS, Decoder
from memory_graph.kafka import outbox
from memory_graph.kafka.dead_letters import DeadLetterQueue
from memory_graph.kafka.rejections import given_up
from memory_graph.model.errors import StoreUnavailable
from memory_graph.plugins import load_plugins
from memory_graph.server import (
    HEALTH_INTERVAL_S,
    TELEMETRY_FLUSH_S,
    StartError,
    calm_collector,
    open_configured_store,
    waiting_limits,
)
from memory_graph.store.protocol import GraphStore
from memory_graph.telemetry.exposition import MetricsServer, start_metrics_server
from memory_graph.telemetry.ingestion import IngestionMetrics
from memory_graph.telemetry.logs import configure_logging
from memory_graph.telemetry.measured import MeasuredStore
from memory_graph.telemetry.metrics import Metrics
from memory_graph.telemetry.traces import start_tracing
from memory_graph.worker.consumer import GroupMember
from memory_graph.worker.intake import Intake
from memory_graph.worker.lag import LagGauge

_log = structlog.get_logger(__name__)


def run(settings: Settings) -> None:
    """Works until SIGTERM or SIGINT; returns once what it had taken is durable and its offsets are committed.

    Raises:
        KafkaUnreachable: no broker answers at the start. Later ones are waited for.
        UnknownTopic: a topic of the settings is not there.
        SettingsError: no brokers are named, or a topic whose bodies it cannot read.
        StartError: a port or a directory cannot be used.
        StoreUnavailable: the embedded store's file has another owner.
        StoreCorrupt: the store cannot be used.
        PluginLoadError: a plugin cannot be loaded.
        ConsumerFailed: the Kafka client has given up.
    """
    configure_logging(settings.log_level, sys.stdout)
    calm_collector()
    asyncio.run(_work(settings))


async def _work(settings: Settings) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    decoders = _decoders(settings)
    metrics = Metrics(__version__)
    draining = asyncio.Event()
    async with AsyncExitStack() as stack:
        tracing = start_tracing(settings.otel_exporter_otlp_endpoint, __version__)
        stack.callback(tracing.shutdown, TELEMETRY_FLUSH_S)
        store = await open_configured_store(settings, metrics)
        stack.push_async_callback(store.close)
        ingestion = IngestionMetrics(metrics.registry)
        plugins = load_plugins(settings.plugin_dirs, settings.plugin_timeout_ms / 1000, metrics)
        stack.push_async_callback(plugins.close, TELEMETRY_FLUSH_S)
        dead_letters = await stack.enter_async_context(DeadLetterQueue(settings))
        counted = counted_and_logged(ingestion)
        pipeline = Pipeline(
            MeasuredStore(store, metrics),
            ingestion,
            counted,
            max_bytes=settings.telemetry_buffer_bytes,
            patience_s=math.inf,
            draining=draining,
            given_up=given_up(dead_letters, settings, counted),
            plugins=plugins,
            waiting=waiting_limits(settings),
        )
        stack.push_async_callback(pipeline.close)
        intake = Intake(pipeline, ingestion, dead_letters, decoders, tenant=settings.kafka_tenant, tracing=tracing)
        stack.push_async_callback(intake.close)
        member = GroupMember(settings, intake)
        await member.join()
        lag = LagGauge(settings, member, metrics.registry)
        health = _Health(store, metrics, settings.kafka_tenant)
        exposition = _expose(settings, metrics, lambda: health.serving and member.joined and lag.reached)
        stack.callback(exposition.close)
        await stack.enter_async_context(outbox.running(store, settings, metrics.registry))
        watching = [asyncio.create_task(lag.watch()), asyncio.create_task(health.watch())]
        _log.info(
            "working",
            topics=sorted(settings.kafka_topics),
            group=settings.kafka_group,
            metrics_port=exposition.port,
            version=__version__,
        )
        try:
            await _until_stopped(member, intake, stopping)
        finally:
            _log.info("draining", seconds=settings.drain_seconds)
            for task in watching:
                task.cancel()
            draining.set()
            await member.leave(settings.drain_seconds)
    _log.info("stopped")


async def _until_stopped(member: GroupMember, intake: Intake, stopping: asyncio.Event) -> None:
    running = asyncio.create_task(member.run(stopping), name="kafka-consumer")
    await asyncio.wait({running, intake.failed}, return_when=asyncio.FIRST_COMPLETED)
    stopping.set()
    await running
    if intake.failed.done():
        intake.failed.result()


def _decoders(settings: Settings) -> dict[str, Decoder]:
    unknown = sorted(set(settings.kafka_topics.values()) - set(DECODERS))
    if unknown:
        raise SettingsError(
            f"KAFKA_TOPICS: bodies of {', '.join(unknown)} cannot be read; there are {', '.join(DECODERS)}:"
            f" a topic with a name of its own is written name={next(iter(DECODERS))}"
        )
    return {topic: DECODERS[contract] for topic, contract in settings.kafka_topics.items()}


def _expose(settings: Settings, metrics: Metrics, ready: Callable[[], bool]) -> MetricsServer:
    try:
        return start_metrics_server(settings.grpc_host, settings.metrics_port, metrics.registry, ready)
    except OSError as error:
        address = f"{settings.grpc_host}:{settings.metrics_port}"
        raise StartError(f"cannot listen on {address} for metrics: {error.strerror}; set METRICS_PORT") from None


class _Health:
    """Whether the store works, and how large the graph is."""

    def __init__(self, store: GraphStore, metrics: Metrics, tenant: str) -> None:
        self._store = store
        self._metrics = metrics
        self._tenant = tenant
        self.serving = False

    async def watch(self) -> None:
        """Asks again and again until it is cancelled."""
        while True:
            try:
                await self._store.ping()
                stats = await self._store.stats(self._tenant)
            except StoreUnavailable as error:
                if self.serving:
                    _log.error("store unavailable", reason=str(error))
                self.serving = False
            else:
                self.serving = True
                self._metrics.set_graph_size(
                    nodes=stats.nodes, edges=stats.edges, active_sessions=stats.active_sessions
                )
            await asyncio.sleep(HEALTH_INTERVAL_S)
