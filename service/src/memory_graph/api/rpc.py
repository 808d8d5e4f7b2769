"""What every rpc shares: its limits, its metrics, its trace, and errors as statuses."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn

import grpc
import structlog
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from memory_graph.api.status import status_of
from memory_graph.model.errors import GraphError, Invalid, Violation
from memory_graph.model.ids import new_id
from memory_graph.plugins import HookContext
from memory_graph.store.protocol import Overrun
from memory_graph.telemetry.metrics import Metrics
from memory_graph.telemetry.traces import Tracing

DEFAULT_TENANT = "default"
"""The tenant of every call until tokens name one."""

_log = structlog.get_logger(__name__)
Context = grpc.aio.ServicerContext[Any, Any]


class Call:
    """One running rpc, as a service method sees it."""

    __slots__ = ("_context", "draining", "method", "tenant")

    def __init__(self, method: str, context: Context, draining: asyncio.Event) -> None:
        self.tenant = DEFAULT_TENANT
        self.method = method
        self.draining = draining
        self._context = context

    @property
    def context(self) -> HookContext:
        """Who calls, for plugins. The request id is the caller's x-request-id, or a new one."""
        return HookContext(tenant=self.tenant, method=self.method, request_id=self.metadata("x-request-id") or new_id())

    async def accept(self) -> None:
        """Sends the headers now: a client that waits for them knows that its stream has begun."""
        await self._context.send_initial_metadata(())

    def metadata(self, key: str) -> str | None:
        """A text value of the request's metadata."""
        for name, value in self._context.invocation_metadata() or ():
            if name == key and isinstance(value, str):
                return value
        return None


class Malformed:
    """A request that is no message: told to the caller as INVALID_ARGUMENT, where gRPC itself would say INTERNAL."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason


class Rpcs:
    """Turns service objects into gRPC handlers."""

    def __init__(self, metrics: Metrics, tracing: Tracing, request_timeout_s: float, draining: asyncio.Event) -> None:
        self._metrics = metrics
        self._tracing = tracing
        self._timeout_s = request_timeout_s
        self._draining = draining

    def handlers(self, service: ServiceDescriptor, implementation: object) -> grpc.GenericRpcHandler:
        """Handlers for every rpc of `service`; each must be a method of `implementation` by the same name."""
        methods = {}
        for descriptor in service.methods:
            method = getattr(implementation, descriptor.name)
            deserialize = _deserializer(descriptor)
            if descriptor.server_streaming:
                handler = self._stream(service.full_name, descriptor.name, method)
                methods[descriptor.name] = grpc.unary_stream_rpc_method_handler(handler, deserialize, _serialize)
            else:
                unary = self._unary(service.full_name, descriptor.name, method)
                methods[descriptor.name] = grpc.unary_unary_rpc_method_handler(unary, deserialize, _serialize)
        return grpc.method_handlers_generic_handler(service.full_name, methods)

    def _unary(self, service: str, name: str, method: Callable[[Any, Call], Awaitable[Message]]) -> Callable[..., Any]:
        metrics = self._metrics.method(name)
        span_name = f"{service}/{name}"

        async def answer(request: Message | Malformed, context: Context) -> Message:
            started = time.perf_counter()
            status = "OK"
            try:
                message = _well_formed(request)
                call = Call(name, context, self._draining)
                async with asyncio.timeout(self._timeout_s):
                    if not self._tracing.enabled:
                        return await method(message, call)
                    with self._tracing.start_span(span_name, context.invocation_metadata(), {"rpc.system": "grpc"}):
                        return await method(message, call)
            except GraphError as error:
                status = status_of(error)[0].name
                await _refuse(context, error)
            except TimeoutError:
                status = "DEADLINE_EXCEEDED"
                text = f"{name} took longer than {self._timeout_s:g} s (REQUEST_TIMEOUT_MS)"
                await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, text)
            except asyncio.CancelledError:
                status = "CANCELLED"
                raise
            except Exception as error:
                if isinstance(error, grpc.aio.AbortError):
                    raise
                status = "INTERNAL"
                await _fail(context, name, error)
            finally:
                metrics.ended(status, time.perf_counter() - started)

        return answer

    def _stream(
        self, service: str, name: str, method: Callable[[Any, Call], AsyncIterator[Message]]
    ) -> Callable[..., Any]:
        metrics = self._metrics.method(name)
        span_name = f"{service}/{name}"
        if not inspect.isasyncgenfunction(method):
            raise TypeError(f"{span_name} streams, its method must be an async generator")

        async def answer(request: Message | Malformed, context: Context) -> AsyncIterator[Message]:
            started = time.perf_counter()
            status = "OK"
            self._metrics.grpc_active_streams.inc()
            try:
                message = _well_formed(request)
                call = Call(name, context, self._draining)
                with self._tracing.start_span(span_name, context.invocation_metadata(), {"rpc.system": "grpc"}):
                    async for reply in method(message, call):
                        yield reply
            except (GraphError, Overrun) as error:
                status = status_of(error)[0].name
                await _refuse(context, error)
            except (asyncio.CancelledError, GeneratorExit):
                status = "CANCELLED"
                raise
            except Exception as error:
                if isinstance(error, grpc.aio.AbortError):
                    raise
                status = "INTERNAL"
                await _fail(context, name, error)
            finally:
                self._metrics.grpc_active_streams.dec()
                metrics.ended(status, time.perf_counter() - started)

        return answer


def _well_formed(request: Message | Malformed) -> Message:
    if isinstance(request, Malformed):
        raise Invalid(Violation("request", request.reason))
    return request


async def _refuse(context: Context, error: GraphError | Overrun) -> NoReturn:
    code, text, trailing = status_of(error)
    await context.abort(code, text, trailing)
    raise AssertionError("abort always raises")


async def _fail(context: Context, name: str, error: Exception) -> NoReturn:
    # The boundary of the process: whatever a method raises becomes INTERNAL, with the details in the log only.
    _log.error("rpc failed", method=name, error_type=type(error).__name__, exc_info=error)
    await context.abort(grpc.StatusCode.INTERNAL, f"{name} failed inside the service; its log says why")
    raise AssertionError("abort always raises")


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()


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
