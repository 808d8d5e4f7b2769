"""Events from Kafka, of a stream and by calls are in the graph, also when the pods that receive them die meanwhile."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator

import grpc

from memory_graph.cli.failure import UNREACHABLE
from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb
from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2_grpc
from memory_graph.gen.llm.observatory.v1 import telemetry_stream_pb2 as telemetry
from memory_graph.gen.llm.observatory.v1 import telemetry_stream_pb2_grpc

from .conftest import (
    API,
    CALL_TIMEOUT_S,
    TRANSIENT_CODES,
    WAIT_TIMEOUT_S,
    WORKER,
    ProductionRelease,
    count_stored,
    output_of,
    wait_until,
)

AT_MS = 1_700_000_000_000


def event(run: str, number: int) -> telemetry.Event:
    invocation = telemetry.InvocationEvent(
        model_id="large", provider="acme", token_count=42, latency_ms=12.5, status="success"
    )
    return telemetry.Event(
        event_id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{run}-{number}")), event_type="llm.invocation.complete",
        timestamp_ms=AT_MS + number, metadata={"run": run}, payload=telemetry.EventPayload(invocation=invocation),
        trace_id=f"trace-{number % 16}",
    )  # fmt: skip


def test_what_kafka_brings_is_in_the_graph_once(release: ProductionRelease, graph) -> None:
    run = uuid.uuid4().hex
    sender = release.wait_for_ready(1, WORKER)[0]
    for _time in range(2):  # the second time the same events come again
        assert output_of(release.produce(sender, run, 300, 10_000)) == "300"
        wait_until(lambda: count_stored(graph, run) == 300)
    wait_until(lambda: lag(release, sender) == 0)
    assert count_stored(graph, run) == 300


def lag(release: ProductionRelease, pod: str) -> int | None:
    """Return the lag that `memory-graph worker status` prints; None while the brokers do not answer in its time."""
    command = release.execute(pod, "memory-graph", "worker", "status")
    output, error = command.communicate(timeout=WAIT_TIMEOUT_S)
    if command.returncode == UNREACHABLE:
        return None
    assert command.returncode == 0, error
    return int(output.split(" lag ")[1].split()[0].replace(",", ""))


def test_a_stream_through_the_service_is_acknowledged_in_order(open_channel, graph) -> None:
    run = uuid.uuid4().hex
    events = [event(run, number) for number in range(400)]
    stub = telemetry_stream_pb2_grpc.TelemetryStreamStub(open_channel())
    requests = (telemetry.EventRequest(events=events[start : start + 100]) for start in range(0, len(events), 100))
    acks = list(stub.StreamEvents(requests, timeout=CALL_TIMEOUT_S * 3))
    assert [ack.ack_id for ack in acks] == [event.event_id for event in events]
    assert all(ack.success for ack in acks)
    assert count_stored(graph, run) == len(events)


def test_what_one_pod_wrote_another_reads(graph) -> None:
    session = graph.CreateSession(pb.CreateSessionRequest(metadata={"user": "molecule"}), timeout=CALL_TIMEOUT_S)
    request = pb.AddPromptRequest(
        session_id=session.id, content="Find me a train", metadata=pb.PromptMetadata(model="m")
    )
    prompt = graph.AddPrompt(request, timeout=CALL_TIMEOUT_S)
    node = graph.GetNode(pb.GetNodeRequest(node_id=prompt.id), timeout=CALL_TIMEOUT_S)
    assert node.prompt.content == "Find me a train"
    graph.DeleteSession(pb.DeleteSessionRequest(session_id=session.id), timeout=CALL_TIMEOUT_S)


class LoadThread(threading.Thread):
    """A thread that calls until it is stopped and keeps the acknowledged ids. Transient errors are retried."""

    def __init__(self, connect: Callable[[], grpc.Channel]) -> None:
        super().__init__(daemon=True)
        self.channel = connect()
        self.acknowledged: list[str] = []
        self.failures: list[grpc.RpcError] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                for acknowledged in self.call():
                    self.acknowledged.append(acknowledged)
            except grpc.RpcError as error:
                if error.code() not in TRANSIENT_CODES:
                    self.failures.append(error)
                self.stopping.wait(0.2)

    def call(self) -> Iterator[str]:
        raise AssertionError

    def stop(self) -> None:
        self.stopping.set()
        self.join(CALL_TIMEOUT_S * 2)
        assert not self.is_alive()


class PromptLoad(LoadThread):
    """AddPrompt calls, one after the other, into a session."""

    def __init__(self, connect: Callable[[], grpc.Channel], session: str) -> None:
        super().__init__(connect)
        self.graph, self.session = memory_graph_pb2_grpc.MemoryGraphServiceStub(self.channel), session

    def call(self) -> Iterator[str]:
        request = pb.AddPromptRequest(session_id=self.session, content=f"prompt {len(self.acknowledged)}")
        yield self.graph.AddPrompt(request, timeout=10).id


class StreamLoad(LoadThread):
    """StreamEvents calls of 20 events; after an interruption it continues behind the last acknowledged event."""

    def __init__(self, connect: Callable[[], grpc.Channel], run: str) -> None:
        super().__init__(connect)
        self.stub, self.run_id = telemetry_stream_pb2_grpc.TelemetryStreamStub(self.channel), run

    def call(self) -> Iterator[str]:
        first = len(self.acknowledged)
        request = telemetry.EventRequest(events=[event(self.run_id, number) for number in range(first, first + 20)])
        for ack in self.stub.StreamEvents(iter([request]), timeout=10):
            assert ack.success, ack
            yield ack.ack_id


def test_nothing_acknowledged_is_lost_when_pods_die(release: ProductionRelease, open_channel, graph) -> None:
    kafka_run, stream_run = uuid.uuid4().hex, uuid.uuid4().hex
    session = graph.CreateSession(pb.CreateSessionRequest(), timeout=CALL_TIMEOUT_S).id
    workers = release.wait_for_ready(2, WORKER)
    prompts, streamed = PromptLoad(open_channel, session), StreamLoad(open_channel, stream_run)
    loads: list[LoadThread] = [prompts, streamed]
    sending = release.produce(workers[0], kafka_run, 3000, 150)
    for load in loads:
        load.start()
    wait_until(lambda: all(len(load.acknowledged) > 20 for load in loads) and count_stored(graph, kafka_run) > 100)
    release.kill(workers[1])
    for pod in release.ready_pods(API):  # clients stay with one pod; which one is the Service's choice
        before = [len(load.acknowledged) for load in loads]
        release.kill(pod)
        release.wait_for_ready(2, API)
        wait_until(lambda: all(len(load.acknowledged) > count for load, count in zip(loads, before, strict=True)))  # noqa: B023
    assert output_of(sending) == "3000"
    for load in loads:
        load.stop()
    assert not [error for load in loads for error in load.failures]
    wait_until(lambda: count_stored(graph, kafka_run) == 3000)
    wait_until(lambda: lag(release, workers[0]) == 0)
    assert count_stored(graph, kafka_run) == 3000
    assert count_stored(graph, stream_run) >= len(set(streamed.acknowledged)) == len(streamed.acknowledged)
    ids = prompts.acknowledged
    node_ids = [
        node.id
        for start in range(0, len(ids), 1000)
        for node in graph.BatchGetNodes(
            pb.BatchGetNodesRequest(node_ids=ids[start : start + 1000]), timeout=CALL_TIMEOUT_S
        ).nodes
    ]
    assert node_ids == ids
    release.wait_for_ready(2, WORKER)
