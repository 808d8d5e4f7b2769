"""The frame of every rpc: limits, metrics, traces, and errors as statuses."""

from __future__ import annotations

import asyncio
import inspect
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn, TypeVar

import grpc
import structlog
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from memory_graph.api.status import AnswerTooLarge, status_of
from memory_graph.model.errors import GraphError, Invalid, Violation
from memory_graph.model.ids import new_id
from memory_graph.model.tenants import SMOKE_TEST_TENANT
from memory_graph.plugins import HookContext
from memory_graph.store.protocol import Overrun
from memory_graph.telemetry.metrics import Metrics
from memory_graph.telemetry.traces import Tracing

DEFAULT_TENANT = "default"
"""The tenant of every call until tokens name one."""
SMOKE_TEST = "x-smoke-test"
"""Request metadata, `true`: the call is of the smoke test's tenant. Trailing metadata of the reply: the host name of
the pod that answered, which says that it was understood."""

_log = structlog.get_logger(__name__)
Context = grpc.aio.ServicerContext[Any, Any]
_Request = TypeVar("_Request")
Refusal = tuple[grpc.StatusCode, str, tuple[tuple[str, str | bytes], ...]]
"""Code, message and trailing metadata of a call that is refused."""


class Call:
    """One running rpc, as a service method sees it."""

    __slots__ = ("_caller", "_context", "draining", "method", "tenant")

    def __init__(self, method: str, context: Context, draining: asyncio.Event) -> None:
        self.tenant = DEFAULT_TENANT
        self.method = method
        self.draining = draining
        self._context = context
        self._caller: HookContext | None = None
        if self.metadata(SMOKE_TEST) == "true":
            self.tenant = SMOKE_TEST_TENANT
            context.set_trailing_metadata(((SMOKE_TEST, socket.gethostname()),))

    @property
    def context(self) -> HookContext:
        """The caller as plugins see it, the same for every hook of a call. Its request id is the x-request-id of the
        caller, or a new one."""
        if self._caller is None:
            request_id = self.metadata("x-request-id") or new_id()
            self._caller = HookContext(tenant=self.tenant, method=self.method, request_id=request_id)
        return self._caller

    async def accept(self) -> None:
        """Send the headers now: a client that waits for them knows that its stream has begun."""
        await self._context.send_initial_metadata(())

    def metadata(self, key: str) -> str | None:
        """Return a text value of the request's metadata, or None."""
        for name, value in self._context.invocation_metadata() or ():
            if name == key and isinstance(value, str):
                return value
        return None


class Malformed:
    """A request that does not decode. The caller gets INVALID_ARGUMENT for it, where gRPC itself would say INTERNAL."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason


class Rpcs:
    """The factory of gRPC handlers. max_message_bytes: largest answer; gRPC itself does not name the method."""

    def __init__(
        self,
        metrics: Metrics,
        tracing: Tracing,
        request_timeout_s: float,
        draining: asyncio.Event,
        max_message_bytes: int = 16 * 1024 * 1024,
    ) -> None:
        self._max_bytes = max_message_bytes
        self._metrics = metrics
        self._tracing = tracing
        self._timeout_s = request_timeout_s
        self._draining = draining

    def handlers(self, service: ServiceDescriptor, implementation: object) -> grpc.GenericRpcHandler:
        """Make handlers for every rpc of `service`, each a method of `implementation` of the same name.

        An rpc with a stream of requests gets them as bytes, so that it can bound them before it decodes them."""
        methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        for descriptor in service.methods:
            method = getattr(implementation, descriptor.name)
            deserialize = _deserializer(descriptor)
            if descriptor.client_streaming:
                handler = self._stream(service.full_name, descriptor.name, method)
                methods[descriptor.name] = grpc.stream_stream_rpc_method_handler(handler, None, None)
            elif descriptor.server_streaming:
                handler = self._stream(service.full_name, descriptor.name, method)
                methods[descriptor.name] = grpc.unary_stream_rpc_method_handler(handler, deserialize, None)
            else:
                unary = self._unary(service.full_name, descriptor.name, method)
                methods[descriptor.name] = grpc.unary_unary_rpc_method_handler(unary, deserialize, None)
        return grpc.method_handlers_generic_handler(service.full_name, methods)

    def _unary(self, service: str, name: str, method: Callable[[Any, Call], Awaitable[Message]]) -> Callable[..., Any]:
        metrics = self._metrics.method(name)
        span_name = f"{service}/{name}"

        async def answer(request: Message | Malformed, context: Context) -> bytes:
            started = time.perf_counter()
            status = "OK"
            try:
                message = _well_formed(request)
                call = Call(name, context, self._draining)
                async with asyncio.timeout(self._timeout_s):
                    if not self._tracing.enabled:
                        return self._serialized(await method(message, call))
                    with self._tracing.start_span(span_name, context.invocation_metadata(), {"rpc.system": "grpc"}):
                        return self._serialized(await method(message, call))
            except TimeoutError:
                text = f"{name} took longer than {self._timeout_s:g} s (REQUEST_TIMEOUT_MS)"
                refusal: Refusal = (grpc.StatusCode.DEADLINE_EXCEEDED, text, ())
                status = refusal[0].name
            except asyncio.CancelledError:
                status = "CANCELLED"
                raise
            except Exception as error:  # noqa: BLE001 - the boundary of the process
                refusal = _refusal(name, error)
                status = refusal[0].name
            finally:
                metrics.ended(status, time.perf_counter() - started)
            return await _refuse(context, refusal)

        return answer

    def _stream(
        self, service: str, name: str, method: Callable[[Any, Call], AsyncIterator[Message]]
    ) -> Callable[..., Any]:
        metrics = self._metrics.method(name)
        span_name = f"{service}/{name}"
        if not inspect.isasyncgenfunction(method):
            raise TypeError(f"{span_name} streams, its method must be an async generator")

        async def answer(request: Message | Malformed | AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
            started = time.perf_counter()
            status = "OK"
            refusal: Refusal | None = None
            self._metrics.grpc_active_streams.inc()
            try:
                message = _well_formed(request)
                call = Call(name, context, self._draining)
                with self._tracing.start_span(span_name, context.invocation_metadata(), {"rpc.system": "grpc"}):
                    async for reply in method(message, call):
                        yield self._serialized(reply)
            except (asyncio.CancelledError, GeneratorExit):
                status = "CANCELLED"
                raise
            except Exception as error:  # noqa: BLE001 - the boundary of the process
                refusal = _refusal(name, error)
                status = refusal[0].name
            finally:
                self._metrics.grpc_active_streams.dec()
                metrics.ended(status, time.perf_counter() - started)
            if refusal is not None:
                await _refuse(context, refusal)

        return answer

    def _serialized(self, reply: Message) -> bytes:
        data = reply.SerializeToString()
        if len(data) > self._max_bytes:
            raise AnswerTooLarge(len(data), self._max_bytes)
        return data


def _well_formed(request: _Request | Malformed) -> _Request:
    if isinstance(request, Malformed):
        raise Invalid(Violation("request", request.reason))
    return request


def _refusal(name: str, error: Exception) -> Refusal:
    """Return the status of an error: the graph's own with their sentence, others as INTERNAL; the log has the rest."""
    if isinstance(error, GraphError | Overrun):
        return status_of(error)
    _log.error("rpc failed", method=name, error_type=type(error).__name__, exc_info=error)
    return grpc.StatusCode.INTERNAL, f"{name} failed inside the service; its log says why", ()


async def _refuse(context: Context, refusal: Refusal) -> NoReturn:
    """End a call with an error. It has been counted before: a caller that reads the answer finds it in the metrics."""
    await context.abort(*refusal)
    raise AssertionError("abort always raises")


def _deserializer(descriptor: MethodDescriptor) -> Callable[[bytes], Message | Malformed]:
    parse = GetMessageClass(descriptor.input_type).FromString

    def deserialize(data: bytes) -> Message | Malformed:
        try:
            return parse(data)
        except DecodeError as error:
            return Malformed(
                f"is no {descriptor.input_type.name} message (not protobuf, or text that is not UTF-8): {error}"
            )

    return deserialize
