"""One worker process: it joins the group, reads until SIGTERM or SIGINT, drains, commits its offsets, and leaves."""

from __future__ import annotations

import asyncio
import math
from contextlib import AsyncExitStack
from functools import partial

import structlog

from memory_graph import __version__
from memory_graph.config import Settings, SettingsError
from memory_graph.ingest.dead_letters import DeadLetterHandlers, count_and_log
from memory_graph.ingest.pipeline import Pipeline, PipelineSettings
from memory_graph.ingest.topics import DECODERS, Decoder
from memory_graph.kafka import outbox
from memory_graph.kafka.dead_letter_spool import expired
from memory_graph.kafka.dead_letters import DeadLetterQueue
from memory_graph.runtime.opening import Runtime, expose, run_process, waiting_limits
from memory_graph.runtime.probe import StoreProbe
from memory_graph.worker.consumer import GroupMember
from memory_graph.worker.lag import LagGauge
from memory_graph.worker.record_processor import RecordProcessor

_log = structlog.get_logger(__name__)


def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT; returns once the records it had read are durable and their offsets committed.

    Raises:
        KafkaUnreachable: no broker answers at the start. Later on the worker waits for them.
        UnknownTopic: a topic of the settings does not exist.
        SettingsError: no brokers are named, or the format of a topic's bodies is unknown.
        StartError: a port or a directory cannot be used.
        StoreUnavailable: the embedded store's file has another owner.
        StoreCorrupt: the store cannot be used.
        PluginLoadError: a plugin cannot be loaded.
        TaskFailed: a background task ended unasked; so does the Kafka client where it gives up.
    """
    run_process(settings, partial(_work, settings, _decoders(settings)))


async def _work(settings: Settings, decoders: dict[str, Decoder], runtime: Runtime, stack: AsyncExitStack) -> None:
    draining = asyncio.Event()
    supervisor, metrics = runtime.supervisor, runtime.metrics
    processor = await _open_processor(stack, settings, runtime, decoders, draining)
    member = GroupMember(settings, processor)
    await member.join()
    lag = LagGauge(settings, member, metrics.registry)
    probe = StoreProbe(runtime.instrumented_store, metrics)

    def ready() -> bool:
        return probe.serving and member.joined and lag.reachable and not supervisor.stopping.is_set()

    exposition = expose(settings, metrics, ready)
    stack.callback(exposition.close)
    await stack.enter_async_context(outbox.running(runtime.store, settings, metrics.registry, supervisor.start))
    watching = [
        supervisor.start(lag.update_loop(), "kafka-lag"),
        supervisor.start(probe.health_loop(), "health"),
    ]
    supervisor.watch(processor.failed, "kafka-records")
    consuming = supervisor.start(member.run(supervisor.stopping), "kafka-consumer")
    _log.info(
        "working",
        topics=sorted(settings.kafka_topics),
        group=settings.kafka_group,
        metrics_port=exposition.port,
        version=__version__,
    )
    await supervisor.stopping.wait()
    _log.info("draining", seconds=settings.drain_seconds)
    await asyncio.wait({consuming})
    for task in watching:
        task.cancel()
    draining.set()
    await member.leave(settings.drain_seconds)


async def _open_processor(
    stack: AsyncExitStack,
    settings: Settings,
    runtime: Runtime,
    decoders: dict[str, Decoder],
    draining: asyncio.Event,
) -> RecordProcessor:
    dead_letters = await stack.enter_async_context(DeadLetterQueue(settings))
    counted = count_and_log(runtime.ingestion)
    pipeline = Pipeline(
        runtime.instrumented_store,
        runtime.ingestion,
        PipelineSettings(
            max_bytes=settings.telemetry_buffer_bytes, max_wait_s=math.inf, pending=waiting_limits(settings)
        ),
        DeadLetterHandlers(counted, expired(dead_letters, settings, counted)),
        draining=draining,
        plugins=runtime.plugins,
    )
    stack.push_async_callback(pipeline.close)
    for task in pipeline.tasks:
        runtime.supervisor.adopt(task)
    runtime.supervisor.watch(pipeline.failed, "telemetry-writes")
    processor = RecordProcessor(
        pipeline, runtime.ingestion, dead_letters, decoders, tenant=settings.kafka_tenant, tracing=runtime.tracing
    )
    stack.push_async_callback(processor.close)
    return processor


def _decoders(settings: Settings) -> dict[str, Decoder]:
    unknown = sorted(set(settings.kafka_topics.values()) - set(DECODERS))
    if unknown:
        raise SettingsError(
            f"KAFKA_TOPICS: bodies of {', '.join(unknown)} cannot be read; there are {', '.join(DECODERS)}:"
            f" a topic with a name of its own is written name={next(iter(DECODERS))}"
        )
    return {topic: DECODERS[contract] for topic, contract in settings.kafka_topics.items()}
