"""One server process: opened, serving until SIGTERM or SIGINT, then drained (contracts §1, SIGTERM)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext

import grpc
import structlog

from memory_graph import __version__
from memory_graph.api.graph_query import GraphQueryService
from memory_graph.api.health import Health, add_reflection
from memory_graph.api.memory_graph import MemoryGraphService
from memory_graph.api.rest.app import application
from memory_graph.api.rest.batch import Batches
from memory_graph.api.rest.body import Bodies
from memory_graph.api.rest.server import HttpTls, RestServer
from memory_graph.api.rpc import DEFAULT_TENANT, Rpcs
from memory_graph.api.telemetry_stream import TelemetryStreamService
from memory_graph.api.tls import Certificates
from memory_graph.config import Settings
from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb
from memory_graph.gen.llm.observatory.v1 import telemetry_stream_pb2 as telemetry_pb
from memory_graph.ingest.recorder import Recorder
from memory_graph.ingest.smoke_test import expire_forever
from memory_graph.ingest.telemetry.dead_letters import DeadLetters, counted_and_logged
from memory_graph.ingest.telemetry.pipeline import Pipeline
from memory_graph.model.errors import StoreCorrupt, StoreUnavailable
from memory_graph.startup import HEALTH_INTERVAL_S, StartError, expose, prepare, started, waiting_limits
from memory_graph.store.protocol import GraphStore
from memory_graph.telemetry.ingestion import IngestionMetrics
from memory_graph.telemetry.metrics import Metrics

_MS = 1000
_log = structlog.get_logger(__name__)


def run(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT; returns once everything acknowledged is on disk and calls have been drained.

    Raises:
        StartError: a port is taken, or a file or directory cannot be used.
        StoreCorrupt: the store's file cannot be used.
        PluginLoadError: a plugin cannot be loaded.
    """
    prepare(settings)
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    draining = asyncio.Event()
    async with AsyncExitStack() as stack:
        found = await stack.enter_async_context(started(settings))
        metrics, measured = found.metrics, found.measured

        descriptors = {**pb.DESCRIPTOR.services_by_name, **telemetry_pb.DESCRIPTOR.services_by_name}
        names = [descriptor.full_name for descriptor in descriptors.values()]
        health = Health(names)
        recorder = Recorder(measured, found.plugins)
        ingestion = found.ingestion
        pipeline = Pipeline(
            measured,
            ingestion,
            await stack.enter_async_context(_dead_letters(settings, counted_and_logged(ingestion))),
            max_bytes=settings.telemetry_buffer_bytes,
            patience_s=settings.telemetry_patience_s,
            draining=draining,
            plugins=found.plugins,
            waiting=waiting_limits(settings),
        )
        stack.push_async_callback(pipeline.close)
        rpcs = Rpcs(metrics, found.tracing, settings.request_timeout_ms / _MS, draining, settings.max_message_bytes)
        server = grpc.aio.server(options=_options(settings))
        telemetry = TelemetryStreamService(
            pipeline, measured, ingestion, max_stream_bytes=settings.telemetry_stream_bytes
        )
        memory_graph = MemoryGraphService(recorder, metrics, lambda: health.serving)
        server.add_generic_rpc_handlers(
            (
                rpcs.handlers(descriptors["MemoryGraphService"], memory_graph),
                rpcs.handlers(descriptors["GraphQueryService"], GraphQueryService(recorder)),
                rpcs.handlers(descriptors["TelemetryStream"], telemetry),
            )
        )
        health.add_to(server)
        add_reflection(server, names)
        grpc_port = _listen(server, settings)
        exposition = expose(settings, metrics, lambda: health.serving)
        stack.callback(exposition.close)
        rest = _serve_rest(settings, pipeline, ingestion, lambda: health.serving)
        stack.push_async_callback(rest.close, 0)
        await server.start()
        await stack.enter_async_context(_change_feed(found.store, settings, metrics))
        await _look(found.store, health, metrics)
        watching = asyncio.create_task(_watch(found.store, health, metrics))
        expiring = asyncio.create_task(expire_forever(found.store), name="smoke-test-expiry")
        _log.info(
            "listening",
            host=settings.grpc_host,
            grpc_port=grpc_port,
            metrics_port=exposition.port,
            rest_port=rest.port,
            version=__version__,
        )

        await found.stopping.wait()
        _log.info("draining", seconds=settings.drain_seconds)
        watching.cancel()
        expiring.cancel()
        await health.shut_down()
        draining.set()
        await asyncio.gather(server.stop(settings.drain_seconds), rest.close(settings.drain_seconds))
    _log.info("stopped")


@asynccontextmanager
async def _dead_letters(settings: Settings, counted: DeadLetters) -> AsyncIterator[DeadLetters]:
    """What becomes of rejected events in the block: counted and logged, and kept in Kafka where there is one."""
    if not settings.kafka_bootstrap_servers:
        yield counted
        return
    from memory_graph.kafka.rejections import Rejections  # noqa: PLC0415 - a server without Kafka has no use for it

    async with Rejections(settings, counted, DEFAULT_TENANT) as rejections:
        yield rejections.take


def _change_feed(store: GraphStore, settings: Settings, metrics: Metrics) -> AbstractAsyncContextManager[None]:
    """Publishes the change feed to Kafka in the block. Of a database that several processes share, a worker does."""
    if settings.store != "embedded" or not settings.kafka_bootstrap_servers:
        return nullcontext()
    from memory_graph.kafka import outbox  # noqa: PLC0415 - a server without Kafka has no use for its client

    return outbox.running(store, settings, metrics.registry)


def _options(settings: Settings) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.max_concurrent_streams", settings.max_streams_per_connection),
        ("grpc.max_allowed_incoming_connections", settings.max_connections),
        ("grpc.max_connection_age_ms", settings.max_connection_age_s * _MS),
        ("grpc.max_connection_age_grace_ms", settings.max_connection_age_grace_s * _MS),
        # Keepalive enforcement (gRFC A8, A9): clients may ping every 10 s, also without calls; not more often.
        ("grpc.http2.min_ping_interval_without_data_ms", 10 * _MS),
        ("grpc.http2.max_ping_strikes", 2),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.so_reuseport", 0),
    ]


def _listen(server: grpc.aio.Server, settings: Settings) -> int:
    host = f"[{settings.grpc_host}]" if ":" in settings.grpc_host else settings.grpc_host
    address = f"{host}:{settings.grpc_port}"
    try:
        if settings.tls_cert_file and settings.tls_key_file:
            certificates = Certificates(settings.tls_cert_file, settings.tls_key_file, settings.tls_client_ca_file)
            return server.add_secure_port(address, certificates.credentials())
        return server.add_insecure_port(address)
    except ssl.SSLError as error:
        raise StartError(
            f"TLS_CERT_FILE {settings.tls_cert_file} and TLS_KEY_FILE {settings.tls_key_file} are not a certificate"
            f" in PEM form and its key ({error.reason or error.strerror}); give two that belong together"
        ) from None
    except RuntimeError:
        raise StartError(
            f"cannot listen on {address}: the port is taken or the address is not of this machine;"
            " set GRPC_HOST or GRPC_PORT"
        ) from None


def _serve_rest(
    settings: Settings, pipeline: Pipeline, metrics: IngestionMetrics, ready: Callable[[], bool]
) -> RestServer:
    patience_s = settings.request_timeout_ms / _MS
    batches = Batches(pipeline, metrics, limit=settings.max_message_bytes, patience_s=patience_s)
    bodies = Bodies(settings.max_message_bytes, patience_s)
    tls = None
    if settings.tls_cert_file and settings.tls_key_file:
        tls = HttpTls(settings.tls_cert_file, settings.tls_key_file, settings.tls_client_ca_file)
    app = application(batches, bodies, ready, lambda: pipeline.store_state)
    try:
        return RestServer(
            app, settings.grpc_host, settings.rest_port, max_connections=settings.max_connections, tls=tls
        )
    except OSError as error:
        address = f"{settings.grpc_host}:{settings.rest_port}"
        raise StartError(f"cannot listen on {address} for REST: {error.strerror}; set REST_PORT") from None


async def _watch(store: GraphStore, health: Health, metrics: Metrics) -> None:
    while True:
        await asyncio.sleep(HEALTH_INTERVAL_S)
        try:
            await _look(store, health, metrics)
        except StoreCorrupt as error:
            _log.error("store cannot be used", reason=str(error))
            await health.set(False)


async def _look(store: GraphStore, health: Health, metrics: Metrics) -> None:
    """Asks the store whether it works, and tells health and the gauges."""
    try:
        await store.ping()
        stats = await store.stats(DEFAULT_TENANT)
    except StoreUnavailable as error:
        if health.serving:
            _log.error("store unavailable", reason=str(error))
        await health.set(False)
        return
    if not health.serving:
        _log.info("serving")
    await health.set(True)
    metrics.set_graph_size(nodes=stats.nodes, edges=stats.edges, active_sessions=stats.active_sessions)
