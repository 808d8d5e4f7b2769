"""Spans reach a collector when there is one; without an endpoint nothing happens."""

from __future__ import annotations

import socket
import threading
from concurrent import futures

import grpc
import pytest
import structlog
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_grpc

from memory_graph.telemetry.traces import start_tracing

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector(otlp_grpc.TraceServiceServicer):
    def __init__(self):
        self.spans = []

    def Export(self, request, context):  # noqa: N802 - the rpc's name
        self.spans += [s for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]
        self.resource = {a.key: a.value.string_value for r in request.resource_spans for a in r.resource.attributes}
        return otlp.ExportTraceServiceResponse()


@pytest.fixture
def collector():
    servicer = Collector()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    otlp_grpc.add_TraceServiceServicer_to_server(servicer, server)
    servicer.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield servicer
    server.stop(None)


def test_a_span_continues_the_callers_trace_and_stamps_the_logs(collector):
    tracing = start_tracing(collector.endpoint, "1.2.3")
    metadata = (("traceparent", f"00-{TRACE}-{PARENT}-01"), ("baggage", "model_id=m1,other=x"), ("k-bin", b"\xff"))
    with tracing.start_span("S/AddPrompt", metadata, {"rpc.method": "AddPrompt"}):
        bound = structlog.contextvars.get_contextvars()
    assert structlog.contextvars.get_contextvars() == {}
    assert tracing.shutdown(30)
    (span,) = collector.spans
    assert (span.name, span.trace_id.hex(), span.parent_span_id.hex()) == ("S/AddPrompt", TRACE, PARENT)
    assert {a.key: a.value.string_value for a in span.attributes} == {"model_id": "m1", "rpc.method": "AddPrompt"}
    assert bound == {"trace_id": TRACE, "span_id": span.span_id.hex()}
    assert (collector.resource["service.name"], collector.resource["service.version"]) == ("memory-graph", "1.2.3")


def test_a_batch_is_linked_to_the_traces_of_its_messages(collector):
    tracing = start_tracing(collector.endpoint, "0")
    tracing.start_batch("kafka process", [(TRACE, PARENT), (TRACE, PARENT)], {"messaging.system": "kafka"}).end()
    tracing.shutdown(30)
    (span,) = collector.spans
    assert [(link.trace_id.hex(), link.span_id.hex()) for link in span.links] == [(TRACE, PARENT)]
    assert (span.name, span.kind, span.parent_span_id) == ("kafka process", span.SPAN_KIND_CONSUMER, b"")


def test_a_failure_is_marked_without_its_text(collector):
    tracing = start_tracing(collector.endpoint, "0")
    with pytest.raises(ValueError, match="content"), tracing.start_span("S/Query"):
        raise ValueError("content")
    tracing.shutdown(30)
    (span,) = collector.spans
    assert (span.status.code, span.status.message, len(span.events)) == (2, "ValueError", 0)
    assert span.parent_span_id == b""


@pytest.mark.parametrize("endpoint", [None, ""])
def test_without_endpoint_nothing_is_made(endpoint):
    tracing = start_tracing(endpoint, "0")
    assert not tracing.enabled
    assert tracing.start_span("a") is tracing.start_span("b", (("traceparent", f"00-{TRACE}-{PARENT}-01"),))
    with tracing.start_span("a") as span:
        span.set_attribute("k", "v")
    assert tracing.shutdown(0)


def test_shutdown_does_not_wait_for_a_collector_that_hangs():
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        tracing = start_tracing(f"http://127.0.0.1:{silent.getsockname()[1]}", "0")
        with tracing.start_span("a"):
            pass
        assert not tracing.shutdown(0.05)
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
