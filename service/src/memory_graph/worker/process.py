"""One worker process: joined, reading until SIGTERM or SIGINT, then drained, its offsets committed, the group left."""

from __future__ import annotations

import asyncio
import math
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
from memory_graph.startup import HEALTH_INTERVAL_S, expose, prepare, started, waiting_limits
from memory_graph.store.protocol import GraphStore
from memory_graph.telemetry.metrics import Metrics
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
    prepare(settings)
    asyncio.run(_work(settings))


async def _work(settings: Settings) -> None:
    decoders = _decoders(settings)
    draining = asyncio.Event()
    async with AsyncExitStack() as stack:
        found = await stack.enter_async_context(started(settings))
        metrics, store, ingestion = found.metrics, found.store, found.ingestion
        dead_letters = await stack.enter_async_context(DeadLetterQueue(settings))
        counted = counted_and_logged(ingestion)
        pipeline = Pipeline(
            found.measured,
            ingestion,
            counted,
            max_bytes=settings.telemetry_buffer_bytes,
            patience_s=math.inf,
            draining=draining,
            given_up=given_up(dead_letters, settings, counted),
            plugins=found.plugins,
            waiting=waiting_limits(settings),
        )
        stack.push_async_callback(pipeline.close)
        intake = Intake(
            pipeline, ingestion, dead_letters, decoders, tenant=settings.kafka_tenant, tracing=found.tracing
        )
        stack.push_async_callback(intake.close)
        member = GroupMember(settings, intake)
        await member.join()
        lag = LagGauge(settings, member, metrics.registry)
        health = _Health(store, metrics, settings.kafka_tenant)
        exposition = expose(settings, metrics, lambda: health.serving and member.joined and lag.reached)
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
            await _until_stopped(member, intake, found.stopping)
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
