"""What Kafka, a stream and a call bring is in the graph, also when the pods that take it die meanwhile."""

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

from .conftest import API, CALL_SECONDS, DEADLINE_SECONDS, PASSING, WORKER, Release, answer, awaited, stored

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


def test_what_kafka_brings_is_in_the_graph_once(release: Release, graph) -> None:
    run = uuid.uuid4().hex
    sender = release.at_least(1, WORKER)[0]
    for _time in range(2):  # the second time the same events come again
        assert answer(release.produce(sender, run, 300, 10_000)) == "300"
        awaited(lambda: stored(graph, run) == 300)
    awaited(lambda: lag(release, sender) == 0)
    assert stored(graph, run) == 300


def lag(release: Release, pod: str) -> int | None:
    """Records no worker has committed yet, as the command says; None while brokers do not answer in its time."""
    asked = release.start(pod, "memory-graph", "worker", "status")
    told, error = asked.communicate(timeout=DEADLINE_SECONDS)
    if asked.returncode == UNREACHABLE:
        return None
    assert asked.returncode == 0, error
    return int(told.split(" lag ")[1].split()[0].replace(",", ""))


def test_a_stream_through_the_service_is_acknowledged_in_order(channel, graph) -> None:
    run = uuid.uuid4().hex
    events = [event(run, number) for number in range(400)]
    stub = telemetry_stream_pb2_grpc.TelemetryStreamStub(channel())
    requests = (telemetry.EventRequest(events=events[start : start + 100]) for start in range(0, len(events), 100))
    acks = list(stub.StreamEvents(requests, timeout=CALL_SECONDS * 3))
    assert [ack.ack_id for ack in acks] == [one.event_id for one in events]
    assert all(ack.success for ack in acks)
    assert stored(graph, run) == len(events)


def test_what_one_pod_wrote_another_reads(graph) -> None:
    session = graph.CreateSession(pb.CreateSessionRequest(metadata={"user": "molecule"}), timeout=CALL_SECONDS)
    asked = pb.AddPromptRequest(session_id=session.id, content="Find me a train", metadata=pb.PromptMetadata(model="m"))
    prompt = graph.AddPrompt(asked, timeout=CALL_SECONDS)
    assert graph.GetNode(pb.GetNodeRequest(node_id=prompt.id), timeout=CALL_SECONDS).prompt.content == "Find me a train"
    graph.DeleteSession(pb.DeleteSessionRequest(session_id=session.id), timeout=CALL_SECONDS)


class Load(threading.Thread):
    """Calls until it is stopped, and keeps what was acknowledged; what passes is tried again."""

    def __init__(self, connected: Callable[[], grpc.Channel]) -> None:
        super().__init__(daemon=True)
        self.channel = connected()
        self.acknowledged: list[str] = []
        self.failures: list[grpc.RpcError] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                for one in self.once():
                    self.acknowledged.append(one)
            except grpc.RpcError as error:
                if error.code() not in PASSING:
                    self.failures.append(error)
                self.stopping.wait(0.2)

    def once(self) -> Iterator[str]:
        raise AssertionError

    def stop(self) -> None:
        self.stopping.set()
        self.join(CALL_SECONDS * 2)
        assert not self.is_alive()


class Prompts(Load):
    """AddPrompt, one after the other, into a session."""

    def __init__(self, connected: Callable[[], grpc.Channel], session: str) -> None:
        super().__init__(connected)
        self.graph, self.session = memory_graph_pb2_grpc.MemoryGraphServiceStub(self.channel), session

    def once(self) -> Iterator[str]:
        asked = pb.AddPromptRequest(session_id=self.session, content=f"prompt {len(self.acknowledged)}")
        yield self.graph.AddPrompt(asked, timeout=10).id


class Streamed(Load):
    """StreamEvents in messages of 20; after an interruption it goes on behind what was acknowledged."""

    def __init__(self, connected: Callable[[], grpc.Channel], run: str) -> None:
        super().__init__(connected)
        self.stub, self.run_id = telemetry_stream_pb2_grpc.TelemetryStreamStub(self.channel), run

    def once(self) -> Iterator[str]:
        first = len(self.acknowledged)
        request = telemetry.EventRequest(events=[event(self.run_id, number) for number in range(first, first + 20)])
        for ack in self.stub.StreamEvents(iter([request]), timeout=10):
            assert ack.success, ack
            yield ack.ack_id


def test_nothing_acknowledged_is_lost_when_pods_die(release: Release, channel, graph) -> None:
    kafka_run, stream_run = uuid.uuid4().hex, uuid.uuid4().hex
    session = graph.CreateSession(pb.CreateSessionRequest(), timeout=CALL_SECONDS).id
    workers = release.at_least(2, WORKER)
    prompts, streamed = Prompts(channel, session), Streamed(channel, stream_run)
    loads: list[Load] = [prompts, streamed]
    sending = release.produce(workers[0], kafka_run, 3000, 150)
    for load in loads:
        load.start()
    awaited(lambda: all(len(load.acknowledged) > 20 for load in loads) and stored(graph, kafka_run) > 100)
    release.kill(workers[1])
    for pod in release.ready(API):  # clients stay with one pod; which one is the Service's choice
        before = [len(load.acknowledged) for load in loads]
        release.kill(pod)
        release.at_least(2, API)
        awaited(lambda: all(len(load.acknowledged) > was for load, was in zip(loads, before, strict=True)))  # noqa: B023
    assert answer(sending) == "3000"
    for load in loads:
        load.stop()
    assert not [error for load in loads for error in load.failures]
    awaited(lambda: stored(graph, kafka_run) == 3000)
    awaited(lambda: lag(release, workers[0]) == 0)
    assert stored(graph, kafka_run) == 3000
    assert stored(graph, stream_run) >= len(set(streamed.acknowledged)) == len(streamed.acknowledged)
    ids = prompts.acknowledged
    found = [
        node.id
        for start in range(0, len(ids), 1000)
        for node in graph.BatchGetNodes(
            pb.BatchGetNodesRequest(node_ids=ids[start : start + 1000]), timeout=CALL_SECONDS
        ).nodes
    ]
    assert found == ids
    release.at_least(2, WORKER)
