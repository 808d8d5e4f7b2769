"""The ASGI application of the REST API and its routes."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from litestar import Litestar, Request, Response, get, post
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin

from memory_graph import __version__
from memory_graph.api.rest.batch import BatchEndpoint, BatchResponse
from memory_graph.api.rest.body import BodyReader
from memory_graph.api.rest.problems import Problem, on_http_error, on_internal_error, on_problem
from memory_graph.api.rpc import DEFAULT_TENANT
from memory_graph.flow.circuit_breaker import BreakerState

API_VERSION = "1"


def application(
    batches: BatchEndpoint, body_reader: BodyReader, ready: Callable[[], bool], store: Callable[[], BreakerState]
) -> Litestar:
    """Make the ASGI application. ready: whether requests can be served. store: the store's circuit breaker."""

    @post("/api/v1/telemetry/batch", status_code=HTTPStatus.OK, summary="Store a batch of telemetry events")
    async def telemetry_batch(request: Request[Any, Any, Any]) -> BatchResponse:
        kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Content-Type {kind[:64]!r}; send application/json")
        batches.admit()
        async with body_reader.read(request) as body:
            return await batches.take(body, DEFAULT_TENANT)

    @get("/health", summary="Whether the process lives")
    async def health() -> dict[str, str]:
        return {"status": "alive", "version": __version__}

    @get("/ready", summary="Whether requests can be served")
    async def readiness() -> Response[dict[str, str]]:
        if ready():
            return Response({"status": "ready"})
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "the store cannot be reached now, or the service ends")

    @get("/health/circuit-breaker", summary="The circuit breakers of what the service depends on")
    async def breakers() -> dict[str, str]:
        return {"store": store().name.lower().replace("_", "-")}

    return Litestar(
        [telemetry_batch, health, readiness, breakers],
        exception_handlers={Problem: on_problem, HTTPException: on_http_error, Exception: on_internal_error},
        response_headers={"X-API-Version": API_VERSION},
        openapi_config=OpenAPIConfig(
            title="memory-graph", version=__version__, path="/openapi.json", render_plugins=[JsonRenderPlugin(path="/")]
        ),
        logging_config=None,  # configure_logging has done it; dictConfig may dead-lock with grpc's threads
        request_max_body_size=None,  # BodyReader bounds it, inflated too
    )
