"""One server process: opened, serving until SIGTERM or SIGINT, then drained (contract §1, SIGTERM)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from functools import partial

import grpc
import structlog

from memory_graph import __version__
from memory_graph.api.graph_query import GraphQueryService
from memory_graph.api.health import HealthService, add_reflection
from memory_graph.api.memory_graph import MemoryGraphService
from memory_graph.api.rest.app import application
from memory_graph.api.rest.batch import BatchEndpoint
from memory_graph.api.rest.body import BodyReader
from memory_graph.api.rest.server import RestServer
from memory_graph.api.rpc import DEFAULT_TENANT, Rpcs
from memory_graph.api.telemetry_stream import TelemetryStreamService
from memory_graph.api.tls import CertificateError, CertificateFiles
from memory_graph.config import Settings
from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb
from memory_graph.gen.llm.observatory.v1 import telemetry_stream_pb2 as telemetry_pb
from memory_graph.ingest.dead_letters import DeadLetterHandlers, RejectedHandler, count_and_log
from memory_graph.ingest.graph_writer import GraphWriter
from memory_graph.ingest.pipeline import Pipeline, PipelineSettings
from memory_graph.ingest.smoke_test import expire_forever
from memory_graph.runtime.opening import Runtime, StartError, expose, run_process, waiting_limits
from memory_graph.runtime.probe import StoreProbe

_MS = 1000
_DESCRIPTORS = {**pb.DESCRIPTOR.services_by_name, **telemetry_pb.DESCRIPTOR.services_by_name}
_SERVICES = tuple(descriptor.full_name for descriptor in _DESCRIPTORS.values())
_log = structlog.get_logger(__name__)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; returns once everything acknowledged is on disk and calls have been drained.

    Raises:
        StartError: a port is taken, or a file or directory cannot be used.
        StoreCorrupt: the store's file cannot be used.
        PluginLoadError: a plugin cannot be loaded.
        TaskFailed: a background task ended unasked.
    """
    run_process(settings, partial(_serve, settings))


async def _serve(settings: Settings, runtime: Runtime, stack: AsyncExitStack) -> None:
    draining = asyncio.Event()
    supervisor, metrics = runtime.supervisor, runtime.metrics
    health = HealthService(_SERVICES)
    probe = StoreProbe(runtime.instrumented_store, metrics, health.set)

    def ready() -> bool:
        return probe.serving and not supervisor.stopping.is_set()

    pipeline = await _open_pipeline(stack, settings, runtime, draining)
    certificates = _certificates(settings)
    server = _grpc_server(settings, runtime, pipeline, draining, ready)
    health.add_to(server)
    add_reflection(server, _SERVICES)
    grpc_port = _listen(server, settings, certificates)
    exposition = expose(settings, metrics, ready)
    stack.callback(exposition.close)
    rest = _serve_rest(settings, pipeline, runtime, certificates, ready)
    stack.push_async_callback(rest.close, 0)
    await server.start()
    await stack.enter_async_context(_change_feed(settings, runtime))
    await probe.probe()
    supervisor.start(_until_stopped(server), "grpc-server")
    watching = [
        supervisor.start(probe.health_loop(), "health"),
        supervisor.start(expire_forever(runtime.store), "smoke-test-expiry"),
    ]
    _log.info(
        "listening",
        host=settings.grpc_host,
        grpc_port=grpc_port,
        metrics_port=exposition.port,
        rest_port=rest.port,
        version=__version__,
    )

    await supervisor.stopping.wait()
    _log.info("draining", seconds=settings.drain_seconds)
    for task in watching:
        task.cancel()
    await health.shut_down()
    draining.set()
    await asyncio.gather(server.stop(settings.drain_seconds), rest.close(settings.drain_seconds))


async def _until_stopped(server: grpc.aio.Server) -> None:
    await server.wait_for_termination()


async def _open_pipeline(
    stack: AsyncExitStack, settings: Settings, runtime: Runtime, draining: asyncio.Event
) -> Pipeline:
    counted = count_and_log(runtime.ingestion)
    pipeline = Pipeline(
        runtime.instrumented_store,
        runtime.ingestion,
        PipelineSettings(
            max_bytes=settings.telemetry_buffer_bytes,
            max_wait_s=settings.telemetry_patience_s,
            pending=waiting_limits(settings),
        ),
        DeadLetterHandlers(await stack.enter_async_context(_dead_letters(settings, runtime, counted))),
        draining=draining,
        plugins=runtime.plugins,
    )
    stack.push_async_callback(pipeline.close)
    for task in pipeline.tasks:
        runtime.supervisor.adopt(task)
    runtime.supervisor.watch(pipeline.failed, "telemetry-writes")
    return pipeline


def _grpc_server(
    settings: Settings, runtime: Runtime, pipeline: Pipeline, draining: asyncio.Event, ready: Callable[[], bool]
) -> grpc.aio.Server:
    writer = GraphWriter(runtime.instrumented_store, runtime.plugins)
    services = {
        "MemoryGraphService": MemoryGraphService(writer, runtime.metrics, ready),
        "GraphQueryService": GraphQueryService(writer),
        "TelemetryStream": TelemetryStreamService(
            pipeline, runtime.instrumented_store, runtime.ingestion, max_stream_bytes=settings.telemetry_stream_bytes
        ),
    }
    rpcs = Rpcs(
        runtime.metrics, runtime.tracing, settings.request_timeout_ms / _MS, draining, settings.max_message_bytes
    )
    server = grpc.aio.server(options=_options(settings))
    server.add_generic_rpc_handlers(
        tuple(rpcs.handlers(_DESCRIPTORS[name], service) for name, service in services.items())
    )
    return server


@asynccontextmanager
async def _dead_letters(
    settings: Settings, runtime: Runtime, counted: RejectedHandler
) -> AsyncIterator[RejectedHandler]:
    """Yield the handler of rejected events: it counts and logs them, and writes them to Kafka where there is one."""
    if not settings.kafka_bootstrap_servers:
        yield counted
        return
    from memory_graph.kafka.dead_letter_spool import DeadLetterSpool  # noqa: PLC0415 - not without Kafka

    async with DeadLetterSpool(settings, counted, DEFAULT_TENANT) as spool:
        runtime.supervisor.adopt(spool.task)
        yield spool.add


def _change_feed(settings: Settings, runtime: Runtime) -> AbstractAsyncContextManager[None]:
    """Publish the change feed to Kafka in the block. For a store that several processes share, a worker does."""
    if not runtime.store.has_one_writer or not settings.kafka_bootstrap_servers:
        return nullcontext()
    from memory_graph.kafka import outbox  # noqa: PLC0415 - a server without Kafka has no use for its client

    return outbox.running(runtime.store, settings, runtime.metrics.registry, runtime.supervisor.start)


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


def _certificates(settings: Settings) -> CertificateFiles | None:
    if not settings.tls_cert_file or not settings.tls_key_file:
        return None
    try:
        return CertificateFiles(settings.tls_cert_file, settings.tls_key_file, settings.tls_client_ca_file)
    except CertificateError as error:
        raise StartError(str(error)) from None


def _listen(server: grpc.aio.Server, settings: Settings, certificates: CertificateFiles | None) -> int:
    host = f"[{settings.grpc_host}]" if ":" in settings.grpc_host else settings.grpc_host
    address = f"{host}:{settings.grpc_port}"
    try:
        if certificates is not None:
            return server.add_secure_port(address, certificates.credentials())
        return server.add_insecure_port(address)
    except RuntimeError:
        raise StartError(
            f"cannot listen on {address}: the port is taken or the address is not of this machine;"
            " set GRPC_HOST or GRPC_PORT"
        ) from None


def _serve_rest(
    settings: Settings,
    pipeline: Pipeline,
    runtime: Runtime,
    certificates: CertificateFiles | None,
    ready: Callable[[], bool],
) -> RestServer:
    timeout_s = settings.request_timeout_ms / _MS
    batches = BatchEndpoint(pipeline, runtime.ingestion, limit=settings.max_message_bytes, max_wait_s=timeout_s)
    body_reader = BodyReader(settings.max_message_bytes, timeout_s)
    app = application(batches, body_reader, ready, lambda: pipeline.store_state)
    try:
        return RestServer(
            app,
            settings.grpc_host,
            settings.rest_port,
            max_connections=settings.max_connections,
            certificates=certificates,
            spawn=runtime.supervisor.start,
        )
    except OSError as error:
        address = f"{settings.grpc_host}:{settings.rest_port}"
        raise StartError(f"cannot listen on {address} for REST: {error.strerror}; set REST_PORT") from None
