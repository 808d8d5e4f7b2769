# ruff: noqa: E402 - the tests' servers and the other benches are found after their folders are
"""Telemetry at a steady rate from every source, and a spike: memory over time, and an account of every event.

    python service/benches/endurance_bench.py [--minutes 15] [--spike-seconds 30] [--only steady|spike]

Steady: 5,000 events/s; half by five streams, a fifth by REST into the same server, the rest by Kafka into a worker with
a store of its own. Spike: 1,000 events/s by stream the whole time, and for a while REST batches that raise what is
offered to 20,000, sent when they are due, whatever the result of those before. Every load is in this process.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import grpc
import psutil
from confluent_kafka import Producer

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "tests")]

from stream_bench import METHOD, event

from memory_graph.gen.llm.observatory.v1 import telemetry_stream_pb2 as pb
from memory_graph.ingest.topics import TELEMETRY
from memory_graph.runtime.opening import tune_gc
from support.kafka_events import quick_records
from support.kafka_server import KafkaCluster
from support.kafka_topics import new_topic
from support.server import ServerProcess
from support.telemetry import metric
from support.worker import Stored, WorkerProcess, until

SIZE = 100
"""Events a message and a batch."""
_HEAD = (
    b"POST /api/v1/telemetry/batch HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)
_LIMIT_S = 120
_SAMPLE_INTERVAL_S = 5.0
_CALM_S = 60.0
"""The time after a spike within which acknowledgements have to be as quick as before."""
_ENOUGH_MS = 1_000.0


class PacedStream:
    """A stream that is sent a message whenever one is due."""

    def __init__(self, channel: grpc.aio.Channel, messages_per_s: float) -> None:
        self._call = channel.stream_stream(METHOD)()
        self._rate = messages_per_s
        self._sent: list[float] = []
        self.took: list[tuple[float, float]] = []
        """The time of each acknowledgement, and the seconds it took."""
        self.acked = 0

    async def run(self, seconds: float) -> None:
        writing = asyncio.create_task(self._write(seconds))
        while (answer := await self._call.read()) is not grpc.aio.EOF:
            self.acked += pb.EventResponse.FromString(answer).success
            if self.acked % SIZE == 0:
                now = time.monotonic()
                self.took.append((now, now - self._sent[self.acked // SIZE - 1]))
        await writing

    async def _write(self, seconds: float) -> None:
        began = time.monotonic()
        for number in itertools.count():
            due = began + number / self._rate
            if due - began > seconds:
                break
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self._sent.append(time.monotonic())
            events = [event(number * SIZE + i) for i in range(SIZE)]
            await self._call.write(pb.EventRequest(events=events).SerializeToString())
        await self._call.done_writing()


class RestLoad:
    """Batches that are posted when they are due, however many are open, each event with an id of its own."""

    def __init__(self, port: int, first: int) -> None:
        self._port = port
        self._first = first
        self.offered = self.accepted = self.refused = self.unknown = 0

    async def run(self, batches_per_s: float, seconds: float) -> None:
        began = time.monotonic()
        async with asyncio.TaskGroup() as under_way:
            for number in range(int(batches_per_s * seconds)):
                await asyncio.sleep(max(0.0, began + number / batches_per_s - time.monotonic()))
                under_way.create_task(self._post(self._first + number * SIZE))

    async def _post(self, first: int) -> None:
        body = b'{"events":[' + b",".join(record for _, record in quick_records(range(first, first + SIZE))) + b"]}"
        self.offered += SIZE
        try:
            status, answer = await asyncio.wait_for(post(self._port, body), _LIMIT_S)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            self.unknown += SIZE
            return
        accepted = json.loads(answer)["processed_count"] if status == HTTPStatus.OK else 0
        self.accepted += accepted
        self.refused += SIZE - accepted


async def post(port: int, body: bytes) -> tuple[int, bytes]:
    """Post a batch over a connection of its own; return status and body of the response."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(_HEAD % len(body) + body)
        head = await reader.readuntil(b"\r\n\r\n")
        return int(head.split()[1]), await reader.read()
    finally:
        writer.close()


class MemorySampler(threading.Thread):
    """A thread that samples the resident memory of processes, MiB, every few seconds."""

    def __init__(self, **processes: ServerProcess) -> None:
        super().__init__(daemon=True)
        self._processes = {name: psutil.Process(server.process.pid) for name, server in processes.items()}
        self._ended = threading.Event()
        self.samples: dict[str, list[float]] = {name: [] for name in processes}
        self.start()

    def run(self) -> None:
        while not self._ended.wait(_SAMPLE_INTERVAL_S):
            for name, process in self._processes.items():
                self.samples[name].append(process.memory_info().rss / 2**20)

    def end(self) -> dict[str, float]:
        """Stop, and return the median of each process in the second tenth of the time and in the last."""
        self._ended.set()
        self.join()
        figures = {}
        for name, samples in self.samples.items():
            tenth = max(1, len(samples) // 10)
            figures[f"{name}_early_mib"] = statistics.median(samples[tenth : 2 * tenth] or samples)
            figures[f"{name}_late_mib"] = statistics.median(samples[-tenth:])
        return figures


def produce(bootstrap: str, topic: str, rate: float, seconds: float) -> int:
    """Produce records at a rate; return how many."""
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 20})
    began, sent = time.monotonic(), 0
    while (passed := time.monotonic() - began) < seconds:
        due = int(passed * rate) - sent
        for key, body in quick_records(range(sent, sent + due)):
            producer.produce(topic, body, key)
        sent += due
        producer.poll(0.02)
    assert producer.flush(60) == 0
    return sent


@contextmanager
def serving(folder: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(folder, {"MAX_CONNECTION_AGE_S": "86400"}).wait_ready()
    try:
        yield server
    finally:
        server.stop()


def p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20)[-1] * 1e3


def steady(folder: Path, seconds: float) -> dict[str, float]:
    """Measure 5,000 events/s from every source."""
    kafka = KafkaCluster(folder / "kafka")
    kafka.start()
    topic = new_topic(kafka.bootstrap, partitions=12)
    settings = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap, "KAFKA_TOPICS": f"{topic}={TELEMETRY}",
        "KAFKA_EVENTS_TOPIC": "",
    }  # fmt: skip
    worker = WorkerProcess(folder / "worker", settings).wait_ready()
    try:
        with serving(folder / "server") as server:
            memory = MemorySampler(server=server, worker=worker)
            figures, acked = asyncio.run(_mixed(server, kafka.bootstrap, topic, seconds))
            sent = int(figures["kafka_events"])
            until(lambda: worker.processed() >= sent, 120)
            figures |= memory.end()
    finally:
        worker.stop()
        kafka.stop()
    figures["acknowledged"] = acked
    served, consumed = Stored(folder / "server").events, set(Stored(folder / "worker").events)
    figures["missing"] = acked - len(served) + sent - len(consumed)
    return figures


async def _mixed(server: ServerProcess, bootstrap: str, topic: str, seconds: float) -> tuple[dict[str, float], int]:
    async with grpc.aio.insecure_channel(server.address) as channel:
        streams, rest = [PacedStream(channel, 5.0) for _ in range(5)], RestLoad(server.rest_port, 10**9)
        *_, sent = await asyncio.gather(
            *(stream.run(seconds) for stream in streams),
            rest.run(10, seconds),
            asyncio.to_thread(produce, bootstrap, topic, 1_500, seconds),
        )
    acked = sum(stream.acked for stream in streams) + rest.accepted
    took = [took for stream in streams for _, took in stream.took]
    figures = {
        "seconds": seconds, "events_per_s": (acked + sent) / seconds, "stream_p95_ack_ms": p95(took),
        "rest_refused": rest.refused + rest.unknown, "kafka_events": sent,
    }  # fmt: skip
    return figures, acked


def spike(folder: Path, seconds: float) -> dict[str, float]:
    """Measure a rise from 1,000 to 20,000 offered events/s and back."""
    with serving(folder / "spike") as server:
        memory = MemorySampler(server=server)
        figures, acked = asyncio.run(_spiked(server, seconds))
        figures |= memory.end()
        figures["buffer_percent_after"] = metric(
            server, 'llm_memory_graph_buffer_utilization_percent{consumer_id="telemetry"}'
        )
    figures["missing"] = acked - len(Stored(folder / "spike").events)
    return figures


async def _spiked(server: ServerProcess, seconds: float) -> tuple[dict[str, float], int]:
    before, after = 20.0, _CALM_S
    async with grpc.aio.insecure_channel(server.address) as channel:
        stream, rest = PacedStream(channel, 10.0), RestLoad(server.rest_port, 10**9)
        running = asyncio.create_task(stream.run(before + seconds + after))
        await asyncio.sleep(before)
        rising = time.monotonic()
        await rest.run(190, seconds)
        falling = time.monotonic()
        await running
    calm = [took for at, took in stream.took if at < rising]
    busy = [took for at, took in stream.took if rising <= at < falling]
    late = [at for at, took in stream.took if at >= falling and took * 1e3 > max(_ENOUGH_MS, 3 * p95(calm))]
    return {
        "offered": rest.offered, "accepted": rest.accepted, "refused": rest.refused, "unknown": rest.unknown,
        "accepted_per_s": rest.accepted / (falling - rising), "spike_lasted_s": falling - rising,
        "p95_ack_before_ms": p95(calm), "p95_ack_within_ms": p95(busy),
        "normal_again_after_s": max(late, default=falling) - falling,
    }, rest.accepted + stream.acked  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=15, help="length of the steady run (default: 15)")
    parser.add_argument("--spike-seconds", type=float, default=30, help="length of the spike (default: 30)")
    parser.add_argument("--only", choices=["steady", "spike"], help="one of the two")
    arguments = parser.parse_args()
    tune_gc()
    figures = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.only != "spike":
            figures["5,000 events/s from every source"] = steady(folder, arguments.minutes * 60)
        if arguments.only != "steady":
            figures["20,000 events/s offered"] = spike(folder, arguments.spike_seconds)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
