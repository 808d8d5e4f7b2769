"""TelemetryStream when the server is killed, told to stop, or cannot write: what was acknowledged is stored, once."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from ingest.samples import message
from memory_graph.gen.llm.observatory.v1 import telemetry_stream_pb2 as pb
from memory_graph.ingest.telemetry.events import COMPLETE, LATENCY, TOKENS
from memory_graph.model.ids import new_id
from support.server import Serve
from support.telemetry import Streaming, metric, stored_ids

STREAMS = 4
LIMIT_S = 60


def batches(size: int, sent: list[pb.Event], filling: int = 10) -> Iterator[pb.EventRequest]:
    """Messages without end; their events are noted in `sent`."""
    while True:
        events = [
            message(new_id(), kind, metadata={"filling": "x" * filling})
            for kind in (COMPLETE, TOKENS, LATENCY) * (size // 3)
        ]
        sent.extend(events)
        yield pb.EventRequest(events=events)


def opened(address: str) -> list[grpc.Channel]:
    return [grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) for _ in range(STREAMS)]


@pytest.mark.parametrize("seed", range(2))
def test_kill_9_with_open_streams_loses_nothing_acknowledged_and_a_resend_doubles_nothing(
    serve: Serve, seed: int
) -> None:
    server = serve()
    sent: list[list[pb.Event]] = [[] for _ in range(STREAMS)]
    channels = opened(server.address)
    streams = [Streaming(channel, batches(30, some)) for channel, some in zip(channels, sent, strict=True)]
    for stream in streams:
        stream.wait_for(random.Random(seed).randint(300, 900))
    server.stop(signal.SIGKILL)
    for stream in streams:
        stream.join(LIMIT_S)
        assert stream.error is not None
    again = serve(server.data)
    with grpc.insecure_channel(again.address) as channel:
        stored = stored_ids(channel)
        assert len(set(stored)) == len(stored)
        assert {id for stream in streams for id in stream.acked} <= set(stored)
        resent = [
            Streaming(channel, iter([pb.EventRequest(events=some[i : i + 100]) for i in range(0, len(some), 100)]))
            for some in sent
        ]
        for stream, some in zip(resent, sent, strict=True):
            stream.wait_for(len(some))
        assert sorted(stored_ids(channel)) == sorted(event.event_id for some in sent for event in some)
    assert again.stop() == 0


def test_sigterm_answers_everything_that_was_accepted(serve: Serve) -> None:
    server = serve()
    channels = opened(server.address)
    streams = [Streaming(channel, batches(30, []), ahead=40) for channel in channels]
    for stream in streams:
        stream.wait_for(300)
    assert server.stop() == 0
    for stream in streams:
        stream.join(LIMIT_S)
        assert stream.error is not None
        assert stream.error.code() is grpc.StatusCode.UNAVAILABLE
        assert "send what was not acknowledged" in stream.error.details()
    assert server.log[-1]["message"] == "stopped"
    with grpc.insecure_channel(serve(server.data).address) as channel:
        stored = stored_ids(channel)
    assert sorted(stored) == sorted(id for stream in streams for id in stream.acked)


@pytest.mark.slow
def test_streams_wait_for_a_store_that_cannot_write_and_go_on_by_themselves(serve: Serve, small_disk: Path) -> None:
    server = serve(small_disk / "data", TELEMETRY_BUFFER_BYTES=32_000_000)
    sent: list[pb.Event] = []
    with grpc.insecure_channel(server.address) as channel:
        stream = Streaming(channel, batches(30, sent, filling=3_000), ahead=1_000)
        while metric(server, 'circuit_breaker_state{service="store"}') != 2:
            assert stream.error is None
        stuck = len(stream.acked)
        assert not stream.refused
        assert metric(server, 'llm_memory_graph_buffer_utilization_percent{consumer_id="telemetry"}') <= 100
        (small_disk / "ballast").unlink()
        stream.wait_for(stuck + 3_000)
        stream.call.cancel()
        assert not stream.refused
        assert set(stream.acked) <= set(stored_ids(channel))
    assert server.stop() == 0


@pytest.mark.slow
def test_a_server_whose_store_cannot_write_still_stops(serve: Serve, small_disk: Path) -> None:
    server = serve(small_disk / "data")
    with grpc.insecure_channel(server.address) as channel:
        stream = Streaming(channel, batches(30, [], filling=3_000), ahead=1_000)
        while metric(server, 'circuit_breaker_state{service="store"}') != 2:
            assert stream.error is None
        server.stop()
        stream.join(LIMIT_S)
        assert stream.error is not None
        assert stream.error.code() is grpc.StatusCode.UNAVAILABLE
    (small_disk / "ballast").unlink()
    with grpc.insecure_channel(serve(server.data).address) as channel:
        assert set(stream.acked) <= set(stored_ids(channel))
