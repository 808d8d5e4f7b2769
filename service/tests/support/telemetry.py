"""A client of TelemetryStream."""

from __future__ import annotations

import queue
import threading
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator

import grpc

from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as graph_pb
from memory_graph.gen.llm.memory.graph.v1.memory_graph_pb2_grpc import MemoryGraphServiceStub
from memory_graph.gen.llm.observatory.v1 import telemetry_stream_pb2 as pb
from memory_graph.gen.llm.observatory.v1.telemetry_stream_pb2_grpc import TelemetryStreamStub
from support.server import ServerProcess


class Sender:
    """One open stream: `send` messages, iterate `acks`."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._messages: queue.SimpleQueue[pb.EventRequest | None] = queue.SimpleQueue()
        self.consumed = 0
        self.acks = TelemetryStreamStub(channel).StreamEvents(self._sent())

    def _sent(self) -> Iterator[pb.EventRequest]:
        while (message := self._messages.get()) is not None:
            yield message
            self.consumed += 1

    def send(self, *events: pb.Event) -> None:
        self._messages.put(pb.EventRequest(events=events))

    def end(self) -> None:
        self._messages.put(None)


class Streaming(threading.Thread):
    """Sends messages made one by one, with `ahead` of them unacknowledged, until the stream ends; keeps its acks."""

    def __init__(self, channel: grpc.Channel, messages: Iterable[pb.EventRequest], ahead: int = 8) -> None:
        super().__init__(daemon=True)
        self.acked: list[str] = []
        self.refused: list[pb.EventResponse] = []
        self.error: grpc.RpcError | None = None
        self.grown = threading.Condition()
        self._room = threading.Semaphore(ahead)
        self._ends: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.call = TelemetryStreamStub(channel).StreamEvents(self._sent(messages))
        self.start()

    def _sent(self, messages: Iterable[pb.EventRequest]) -> Iterator[pb.EventRequest]:
        for message in messages:
            self._room.acquire()
            self._ends.put(message.events[-1].event_id)
            yield message

    def run(self) -> None:
        end = None
        try:
            for ack in self.call:
                with self.grown:
                    self.acked.append(ack.ack_id) if ack.success else self.refused.append(ack)
                    self.grown.notify_all()
                end = end or self._ends.get()
                if ack.ack_id == end:
                    end = None
                    self._room.release()
        except grpc.RpcError as error:
            self.error = error

    def wait_for(self, acks: int, limit_s: float = 60) -> None:
        with self.grown:
            assert self.grown.wait_for(lambda: len(self.acked) >= acks, limit_s), (
                f"{len(self.acked)} acks; {self.error}"
            )


def stored_ids(channel: grpc.Channel) -> list[str]:
    """Return the event_id of every telemetry event in the graph, from its node."""
    graph = MemoryGraphServiceStub(channel)
    ids = []
    for type in (graph_pb.NODE_TYPE_INVOCATION, graph_pb.NODE_TYPE_PERFORMANCE_METRIC, graph_pb.NODE_TYPE_ERROR):
        for node in graph.StreamQuery(graph_pb.QueryRequest(node_type=type)):
            data = getattr(node, node.WhichOneof("node_data"))
            ids.append(data.metadata.get("event_id", node.id))
    return ids


def metric(server: ServerProcess, sample: str) -> float:
    """A sample of /metrics by its name and labels; 0 where there is none."""
    try:
        reply = urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics", timeout=30)
    except urllib.error.URLError as error:
        raise AssertionError(f"no metrics ({error.reason}); {server.standing()}") from error
    with reply:
        for line in reply.read().decode().splitlines():
            if line.startswith(f"{sample} "):
                return float(line.rsplit(" ", 1)[1])
    return 0.0
