"""Traces over OTLP when an endpoint is set, no tracing otherwise.

W3C trace context comes in by the metadata of a call. The exporter reads the other OTEL_* settings itself.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

import structlog
from opentelemetry import baggage, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.util.types import AttributeValue

Metadata = Iterable[tuple[str, str | bytes]] | None
"""gRPC request metadata."""

_BAGGAGE = ("model_id", "provider", "event_type")
_NOTHING: AbstractContextManager[trace.Span] = nullcontext(trace.INVALID_SPAN)


class Tracing:
    """Starts spans. Without a provider every call is a constant."""

    def __init__(self, provider: TracerProvider | None) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("memory_graph") if provider else None
        self._trace_context = TraceContextTextMapPropagator()
        self._baggage = W3CBaggagePropagator()

    @property
    def enabled(self) -> bool:
        return self._tracer is not None

    def start_span(
        self, name: str, metadata: Metadata = None, attributes: Mapping[str, AttributeValue] | None = None
    ) -> AbstractContextManager[trace.Span]:
        """A server span around a `with` block, child of the caller's span when `metadata` carries a traceparent.

        Its ids are on every log line written inside. An exception that leaves the block marks the span as failed, by
        its type: its text may be content.
        """
        return _NOTHING if self._tracer is None else self._span(self._tracer, name, metadata, attributes)

    def start_batch(
        self, name: str, traces: Iterable[tuple[str, str]], attributes: Mapping[str, AttributeValue]
    ) -> trace.Span:
        """A consumer span of messages that are worked on together, linked to their trace and span ids in hex
        (OpenTelemetry's conventions for messaging). Whoever starts it ends it."""
        if self._tracer is None:
            return trace.INVALID_SPAN
        links = [
            trace.Link(trace.SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True))
            for trace_id, span_id in dict.fromkeys(traces)
        ]
        return self._tracer.start_span(name, kind=trace.SpanKind.CONSUMER, links=links, attributes=attributes)

    @contextmanager
    def _span(
        self,
        tracer: trace.Tracer,
        name: str,
        metadata: Metadata,
        attributes: Mapping[str, AttributeValue] | None,
    ) -> Iterator[trace.Span]:
        parent = self._parent(metadata)
        with tracer.start_as_current_span(
            name,
            context=parent,
            kind=trace.SpanKind.SERVER,
            attributes={**_carried(parent), **(attributes or {})},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            context = span.get_span_context()
            with structlog.contextvars.bound_contextvars(
                trace_id=trace.format_trace_id(context.trace_id), span_id=trace.format_span_id(context.span_id)
            ):
                try:
                    yield span
                except BaseException as error:
                    span.set_status(trace.StatusCode.ERROR, type(error).__name__)
                    raise

    def _parent(self, metadata: Metadata) -> Context | None:
        carrier = {key: value for key, value in metadata or () if isinstance(value, str)}
        if "traceparent" not in carrier:
            return None
        return self._baggage.extract(carrier, self._trace_context.extract(carrier))

    def shutdown(self, timeout_s: float) -> bool:
        """Sends what is still held back; blocks for at most `timeout_s`. False when that was not enough."""
        if self._provider is None:
            return True
        # An exporter whose collector is gone retries for as long as it likes; a daemon thread cannot hold up the exit.
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(timeout_s)
        return not closing.is_alive()


def start_tracing(endpoint: str | None, version: str) -> Tracing:
    """Traces to `endpoint` (OTEL_EXPORTER_OTLP_ENDPOINT, for example http://collector:4317); none without it."""
    if not endpoint:
        return Tracing(None)
    from memory_graph.telemetry.otlp import otlp_provider  # noqa: PLC0415 - only who traces pays for the SDK

    return Tracing(otlp_provider(endpoint, version))


def _carried(parent: Context | None) -> dict[str, AttributeValue]:
    """Returns the shared LLM baggage entries (contract §8) as span attributes."""
    values = ((name, baggage.get_baggage(name, parent)) for name in _BAGGAGE) if parent is not None else ()
    return {name: value for name, value in values if isinstance(value, str)}
