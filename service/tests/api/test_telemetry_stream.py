"""TelemetryStream over the wire: acknowledged in order once durable, never more than once, whatever is sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor

from ingest.samples import AT_MS, message
from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as graph_pb
from memory_graph.gen.llm.memory.graph.v1.memory_graph_pb2_grpc import GraphQueryServiceStub, MemoryGraphServiceStub
from memory_graph.gen.llm.observatory.v1 import telemetry_stream_pb2 as pb
from memory_graph.gen.llm.observatory.v1.telemetry_stream_pb2_grpc import TelemetryStreamStub
from memory_graph.ingest.telemetry.events import COMPLETE, FAILURE, LATENCY, TOKENS
from memory_graph.ingest.write_planner import node_id
from memory_graph.model.ids import new_id
from support.refusals import invalid
from support.server import Serve
from support.telemetry import Sender, metric, stored_ids

LIMIT_S = 60

CONTRACT = {
    "Event": "event_id string; event_type string; timestamp_ms int64; metadata map; payload message; trace_id string; "
    "span_id string",
    "EventPayload": "invocation message; tokens message; latency message; error message",
    "InvocationEvent": "model_id string; provider string; token_count int32; latency_ms double; status string",
    "TokenEvent": "model_id string; provider string; prompt_tokens int64; completion_tokens int64; total_tokens int64",
    "LatencyEvent": "model_id string; provider string; latency_ms double; percentile double; operation string",
    "ErrorEvent": "model_id string; provider string; error_type string; message string; severity string; "
    "caused_by_event_id string",
    "EventRequest": "events repeated",
    "EventResponse": "ack_id string; success bool; error_message string",
    "SubscriptionRequest": "event_types repeated; filters map; buffer_size int32",
}
_KINDS = {
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_MESSAGE: "message",
}


def kind(field: FieldDescriptor) -> str:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return "map"
    return "repeated" if field.is_repeated else _KINDS[field.type]


def test_the_messages_are_the_contracts():
    messages = pb.DESCRIPTOR.message_types_by_name
    assert set(messages) == set(CONTRACT)
    for name, fields in CONTRACT.items():
        actual = "; ".join(f"{field.name} {kind(field)}" for field in messages[name].fields)
        assert actual == fields
        assert [field.number for field in messages[name].fields] == list(range(1, len(fields.split("; ")) + 1))
    methods = pb.DESCRIPTOR.services_by_name["TelemetryStream"].methods_by_name
    assert (methods["StreamEvents"].client_streaming, methods["StreamEvents"].server_streaming) == (True, True)
    assert (methods["SubscribeEvents"].client_streaming, methods["SubscribeEvents"].server_streaming) == (False, True)


@pytest.fixture
def telemetry(channel: grpc.Channel) -> TelemetryStreamStub:
    return TelemetryStreamStub(channel)


def send(stub: TelemetryStreamStub, *events: pb.Event) -> list[pb.EventResponse]:
    """One message, and its acknowledgements."""
    return list(stub.StreamEvents(iter([pb.EventRequest(events=events)]), timeout=LIMIT_S))


def test_each_event_is_acknowledged_in_order_and_poison_among_them_alone_is_refused(serve: Serve) -> None:
    server = serve()
    good = [message(new_id(), kind) for kind in (COMPLETE, TOKENS, LATENCY, FAILURE) * 300]
    poison = [
        message("odd", model_id=""),
        pb.Event(event_id="new", event_type="llm.unheard.of", timestamp_ms=1),
        pb.Event(),
        message("taken", metadata={"session_id": good[0].event_id}),
    ]
    events = [*good[:3], poison[0], *good[3:700], poison[1], poison[2], *good[700:], poison[3]]
    with grpc.insecure_channel(server.address) as channel:
        acks = send(TelemetryStreamStub(channel), *events)
        assert [ack.ack_id for ack in acks] == [event.event_id for event in events]
        assert [ack.ack_id for ack in acks if not ack.success] == ["odd", "new", "", "taken"]
        assert all(bool(ack.error_message) != ack.success for ack in acks)
        assert "model_id" in acks[3].error_message
        assert sorted(stored_ids(channel)) == sorted([*(event.event_id for event in good), node_id("e-0")])
    for reason, count in (("invalid", 1), ("refused", 1)):
        sample = f'llm_memory_graph_events_dropped_total{{event_type="{COMPLETE}",reason="{reason}"}}'
        assert metric(server, sample) == count
    assert metric(server, 'llm_memory_graph_events_dropped_total{event_type="unknown",reason="unknown_type"}') == 2
    assert metric(server, f'llm_memory_graph_events_received_total{{event_type="{COMPLETE}",source="grpc"}}') == 302
    assert metric(server, f'llm_memory_graph_events_processed_total{{event_type="{COMPLETE}",status="stored"}}') == 300
    assert metric(server, f'llm_memory_graph_event_processing_duration_seconds_count{{event_type="{TOKENS}"}}') == 300
    assert metric(server, 'llm_memory_graph_graph_write_duration_seconds_count{operation_type="batch"}') > 0
    assert metric(server, 'llm_memory_graph_buffer_utilization_percent{consumer_id="telemetry"}') == 0
    assert metric(server, 'circuit_breaker_state{service="store"}') == 0
    assert server.stop() == 0
    logged = [line for line in server.log if line["message"] == "events rejected"]
    assert sum(int(str(line["count"])) for line in logged) == 4


def test_repeats_and_any_order_leave_each_event_once(telemetry: TelemetryStreamStub, channel: grpc.Channel) -> None:
    done, late, effect = new_id(), new_id(), new_id()
    error = message(effect, FAILURE, caused_by_event_id=late)
    assert all(ack.success for ack in send(telemetry, error, message(done), message(done), error))
    assert all(ack.success for ack in send(telemetry, message(late), message(done, at=AT_MS + 9, status="error")))
    assert [stored_ids(channel).count(id) for id in (done, late, effect)] == [1, 1, 1]
    graph = MemoryGraphServiceStub(channel)
    assert graph.GetNode(graph_pb.GetNodeRequest(node_id=done)).invocation.status == "success"
    assert graph.GetNode(graph_pb.GetNodeRequest(node_id=late)).invocation.model_id == "large"
    edges = graph.GetEdges(graph_pb.GetEdgesRequest(node_id=effect)).edges
    caused = [edge.from_node_id for edge in edges if edge.type == graph_pb.EDGE_TYPE_CAUSED_ERROR]
    assert caused == [late]


def test_an_event_joins_its_session_also_after_its_end(telemetry: TelemetryStreamStub, channel: grpc.Channel) -> None:
    graph = MemoryGraphServiceStub(channel)
    session = graph.CreateSession(graph_pb.CreateSessionRequest()).id
    during, after = new_id(), new_id()
    assert send(telemetry, message(during, metadata={"session_id": session}))[0].success
    GraphQueryServiceStub(channel).CloseSession(graph_pb.CloseSessionRequest(session_id=session))
    assert send(telemetry, message(after, metadata={"session_id": session}))[0].success
    nodes = graph.Query(graph_pb.QueryRequest(session_id=session)).nodes
    assert {node.id for node in nodes} == {during, after}


def test_what_is_no_message_ends_the_stream_after_the_acks_before_it(channel: grpc.Channel) -> None:
    raw = channel.stream_stream("/llm.observatory.v1.TelemetryStream/StreamEvents")
    good = pb.EventRequest(events=[message(new_id())]).SerializeToString()
    acks = raw(iter([good, b"\xff\xff"]), timeout=LIMIT_S)
    assert pb.EventResponse.FromString(next(acks)).success
    with invalid("request"):
        next(acks)


def test_too_many_events_for_one_message_are_refused(telemetry: TelemetryStreamStub) -> None:
    with invalid("events"):
        send(telemetry, *[pb.Event()] * 10_001)


def test_an_event_cannot_take_the_id_of_what_is_no_event(telemetry: TelemetryStreamStub, channel: grpc.Channel) -> None:
    session = MemoryGraphServiceStub(channel).CreateSession(graph_pb.CreateSessionRequest()).id
    (ack,) = send(telemetry, message(session))
    assert (ack.ack_id, ack.success) == (session, False)
    assert "SESSION" in ack.error_message


def test_a_message_without_events_is_nothing(telemetry: TelemetryStreamStub) -> None:
    assert send(telemetry) == []


def steady(read: Callable[[], float], seconds: float = 1.5) -> float:
    """The value once it has not changed for a while."""
    last, since = read(), time.monotonic()
    while time.monotonic() - since < seconds:
        time.sleep(0.05)
        now = read()
        if now != last:
            last, since = now, time.monotonic()
    return last


@pytest.mark.slow
def test_a_client_that_never_reads_its_acks_is_stopped_alone_and_loses_nothing(serve: Serve) -> None:
    server = serve(TELEMETRY_STREAM_BYTES=2_400_000)
    small = [("grpc.http2.lookahead_bytes", 1024), ("grpc.http2.bdp_probe", 0)]
    with (
        grpc.insecure_channel(server.address, options=small) as flooding,
        grpc.insecure_channel(server.address) as channel,
    ):
        flood = Sender(flooding)
        messages = [[message(f"{i}-{j}") for j in range(50)] for i in range(2_000)]
        for some in messages:
            flood.send(*some)
        received = f'llm_memory_graph_events_received_total{{event_type="{COMPLETE}",source="grpc"}}'
        accepted = steady(lambda: metric(server, received))
        sent = sum(len(pb.EventRequest(events=some).SerializeToString()) for some in messages)
        assert 0 < accepted * sent / (len(messages) * 50) < 1_500_000, "its bound, and what flow control lets through"
        for _ in range(20):
            assert send(TelemetryStreamStub(channel), message(new_id()))[0].success
        assert metric(server, 'llm_memory_graph_buffer_utilization_percent{consumer_id="telemetry"}') == 0
        flood.end()
        acks = [ack.ack_id for ack in flood.acks if ack.success]
    assert acks == [event.event_id for some in messages for event in some]


@pytest.mark.slow
def test_floods_share_the_bound_of_the_process(serve: Serve) -> None:
    server = serve(TELEMETRY_BUFFER_BYTES=1_600_000, TELEMETRY_STREAM_BYTES=800_000)
    peak = 0.0
    with grpc.insecure_channel(server.address) as channel:
        floods = [Sender(channel) for _ in range(8)]
        for number, flood in enumerate(floods):
            for i in range(40):
                flood.send(*(message(f"{number}-{i}-{j}", metadata={"filling": "x" * 400}) for j in range(50)))
            flood.end()
        acked: list[int] = []
        readers = [threading.Thread(target=lambda f=flood: acked.append(len(list(f.acks)))) for flood in floods]
        for reader in readers:
            reader.start()
        while any(reader.is_alive() for reader in readers):
            peak = max(peak, metric(server, 'llm_memory_graph_buffer_utilization_percent{consumer_id="telemetry"}'))
        assert acked == [2_000] * 8
        assert len(stored_ids(channel)) == 16_000
    assert 0 < peak <= 100


def test_a_client_that_goes_away_leaves_nothing_behind(serve: Serve) -> None:
    server = serve()
    with grpc.insecure_channel(server.address) as channel:
        for _ in range(5):
            sender = Sender(channel)
            for _ in range(50):
                sender.send(*(message(new_id()) for _ in range(20)))
            assert next(sender.acks).success
            sender.acks.cancel()
            sender.end()
        idle = 'llm_memory_graph_buffer_utilization_percent{consumer_id="telemetry"}'
        for sample in (idle, "memory_graph_grpc_active_streams"):
            while metric(server, sample) != 0:
                time.sleep(0.05)
        assert send(TelemetryStreamStub(channel), message(new_id()))[0].success
    assert server.stop() == 0
    assert not [line for line in server.log if line["level"] == "error"]
    assert "Traceback" not in "".join(server.output)


def test_an_event_that_is_cut_fails_alone_and_the_stream_goes_on(channel: grpc.Channel) -> None:
    names = [new_id() for _ in range(4)]
    whole = pb.EventRequest(events=[message(names[0]), message(names[1], metadata={"x": "CUT"}), message(names[2])])
    raw = [
        whole.SerializeToString().replace(b"CUT", b"C\xffT"),
        pb.EventRequest(events=[message(names[3])]).SerializeToString(),
    ]
    stream = channel.stream_stream(
        "/llm.observatory.v1.TelemetryStream/StreamEvents", response_deserializer=pb.EventResponse.FromString
    )
    acks = list(stream(iter(raw)))
    assert [(ack.ack_id, ack.success) for ack in acks] == list(zip(names, [True, False, True, True], strict=True))
    assert "not UTF-8" in acks[1].error_message


def test_an_acknowledgement_does_not_grow_with_what_is_wrong(channel: grpc.Channel) -> None:
    sender = Sender(channel)
    sender.send(
        message("x" * 100_000), message(new_id(), status="y" * 100_000), message(new_id(), latency_ms=float("nan"))
    )
    sender.end()
    acks = list(sender.acks)
    assert [ack.success for ack in acks] == [False] * 3
    assert max(ack.ByteSize() for ack in acks) < 2_000
