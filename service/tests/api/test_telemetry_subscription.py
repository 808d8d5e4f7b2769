"""Subscribers of telemetry events over gRPC."""

from __future__ import annotations

import threading
import time

import grpc

from api.test_telemetry_stream import LIMIT_S, send
from ingest.samples import message
from memory_graph.gen.llm.observatory.v1 import telemetry_stream_pb2 as pb
from memory_graph.gen.llm.observatory.v1.telemetry_stream_pb2_grpc import TelemetryStreamStub
from memory_graph.ingest.telemetry.events import COMPLETE, FAILURE, LATENCY, TOKENS
from memory_graph.model.ids import new_id
from support.refusals import invalid, refused
from support.server import Serve
from support.telemetry import metric


def test_a_subscriber_gets_what_it_asked_for_from_whoever_sent_it(serve: Serve) -> None:
    server = serve()
    with grpc.insecure_channel(server.address) as channel:
        stub = TelemetryStreamStub(channel)
        every = stub.SubscribeEvents(pb.SubscriptionRequest(), timeout=LIMIT_S)
        some = stub.SubscribeEvents(
            pb.SubscriptionRequest(
                event_types=[COMPLETE, TOKENS], filters={"metadata.team": "docs", "model_id": "small"}
            ),
            timeout=LIMIT_S,
        )
        every.initial_metadata()
        some.initial_metadata()
        sent = [
            message("a", metadata={"team": "docs"}),
            message("b", model_id="small", metadata={"team": "docs"}),
            message("c", LATENCY, model_id="small", metadata={"team": "docs"}),
            message("d", TOKENS, model_id="small", metadata={"team": "docs"}),
            message("e", FAILURE, caused_by_event_id="f"),
        ]
        send(stub, *sent)
        send(stub, *sent)
        send(stub, message("f"))
        assert [next(every) for _ in range(6)] == [*sent, message("f")]
        assert [next(some) for _ in range(2)] == [sent[1], sent[3]]
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        for stream in (every, some):
            with refused(grpc.StatusCode.UNAVAILABLE):
                next(stream)
        stopping.join()


def test_wrong_subscriptions_are_refused(channel: grpc.Channel) -> None:
    telemetry = TelemetryStreamStub(channel)
    wrong = pb.SubscriptionRequest(event_types=[COMPLETE, "x"], filters={"y": "1"}, buffer_size=10_001)
    with invalid("event_types[1]", "filters[y]", "buffer_size"):
        next(telemetry.SubscribeEvents(wrong, timeout=LIMIT_S))
    with invalid("last-event-id"):
        next(telemetry.SubscribeEvents(pb.SubscriptionRequest(), metadata=(("last-event-id", "x"),), timeout=LIMIT_S))


def test_a_subscriber_that_reads_nothing_is_cut_off_and_can_go_on_from_there(serve: Serve) -> None:
    server = serve()
    small = [("grpc.http2.lookahead_bytes", 1024), ("grpc.http2.bdp_probe", 0)]
    with (
        grpc.insecure_channel(server.address) as writing,
        grpc.insecure_channel(server.address, options=small) as reading,
    ):
        stub = TelemetryStreamStub(reading)
        slow = stub.SubscribeEvents(pb.SubscriptionRequest(buffer_size=10), timeout=LIMIT_S)
        slow.initial_metadata()
        sent = [message(new_id(), metadata={"filling": "x" * 1_000}) for _ in range(1_000)]
        assert all(ack.success for ack in send(TelemetryStreamStub(writing), *sent))
        seen = []
        cut = 'memory_graph_grpc_requests_total{method="SubscribeEvents",status="RESOURCE_EXHAUSTED"}'
        while not any(line["message"] == "subscriber cut off" for line in server.log):
            time.sleep(0.05)
        with refused(grpc.StatusCode.RESOURCE_EXHAUSTED) as refusal:
            seen.extend(slow)
        assert metric(server, cut) == 1
        resume = (("last-event-id", refusal.trailing["last-event-id"]),)
        resumed = stub.SubscribeEvents(pb.SubscriptionRequest(), metadata=resume, timeout=LIMIT_S)
        while len(seen) < len(sent):
            seen.append(next(resumed))
        resumed.cancel()
        assert sorted(event.event_id for event in seen) == sorted(event.event_id for event in sent)
