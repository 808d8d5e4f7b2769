"""The OTLP exporter; its own module because the SDK is slow to import and most processes do not trace."""

from __future__ import annotations

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


def otlp_provider(endpoint: str, version: str) -> TracerProvider:
    """Spans in batches to `endpoint`. Whoever makes it shuts it down; the interpreter's exit does not wait for it."""
    resource = Resource.create({"service.name": "memory-graph", "service.version": version})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    return provider
