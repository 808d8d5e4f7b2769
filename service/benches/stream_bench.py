"""TelemetryStream: durable events/s and the time to an acknowledgement, against the same rows written without a service
and against a server that acknowledges and does nothing.

    python service/benches/stream_bench.py [--seconds 6]

Client and server share the machine, and the client is Python too: it pays about as much for an acknowledgement as the
server does, one message each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import apsw
import grpc
from prometheus_client import CollectorRegistry

from memory_graph.gen.llm.observatory.v1 import telemetry_stream_pb2 as pb
from memory_graph.ingest.dead_letters import DeadLetterHandlers
from memory_graph.ingest.pipeline import Pipeline, PipelineSettings, held_bytes
from memory_graph.ingest.telemetry.decode import from_message
from memory_graph.ingest.telemetry.events import COMPLETE
from memory_graph.model.ids import new_id
from memory_graph.runtime.opening import tune_gc
from memory_graph.store.sqlite import open_store
from memory_graph.store.sqlite.connection import open_writer
from memory_graph.store.sqlite.schema import migrate
from memory_graph.telemetry.ingestion import IngestionMetrics
from memory_graph.telemetry.logs import configure_logging

METHOD = "/llm.observatory.v1.TelemetryStream/StreamEvents"
CASES = {
    "1 stream, 100 events a message": (1, 100, 8, 0),
    "64 streams, 100 events a message": (64, 100, 1, 0),
    "64 streams, 100 events a message, 5,000/s": (64, 100, 8, 5_000),
    "1 stream, 1 event a message": (1, 1, 64, 0),
    "64 streams, 1 event a message": (64, 1, 16, 0),
}
"""Streams, events a message, messages ahead of their acknowledgements, events/s offered by all (0: all they can)."""
CONNECTIONS = 4
TABLES = {"nodes": 11, "edges": 10, "attributes": 5, "changes": 5}
EVENTS_PER_COMMIT = 500


def event(number: int) -> pb.Event:
    """An event as an application sends it: about 200 bytes."""
    return pb.Event(
        event_id=new_id(),
        event_type=COMPLETE,
        timestamp_ms=time.time_ns() // 1_000_000,
        trace_id=f"{number:032x}",
        span_id=f"{number:016x}",
        payload=pb.EventPayload(
            invocation=pb.InvocationEvent(
                model_id=f"model-{number % 20}", provider="acme", token_count=512, latency_ms=830.5, status="success"
            )
        ),
    )


class StreamServer:
    """A server in a process of its own. With do_nothing it acknowledges events without decoding them."""

    def __init__(self, folder: Path, *, do_nothing: bool) -> None:
        settings = {
            "DB_PATH": str(folder),
            "GRPC_PORT": "0",
            "METRICS_PORT": "0",
            "REST_PORT": "0",
            "MAX_CONNECTION_AGE_S": "3600",
        }
        command = (
            [sys.executable, __file__, "--echo"] if do_nothing else [sys.executable, "-m", "memory_graph.cli", "serve"]
        )
        self._process = subprocess.Popen(command, env={**os.environ, **settings}, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        listening = next(line for line in self._process.stdout if '"listening"' in line)
        self.address = f"127.0.0.1:{json.loads(listening)['grpc_port']}"

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()


async def echo() -> None:
    """Serve acknowledgements: one for each event type in the bytes of a message, which is not decoded."""
    ack = pb.EventResponse(ack_id=new_id(), success=True).SerializeToString()

    async def acknowledge(requests: object, _: object) -> object:
        async for request in requests:
            for _ in range(request.count(COMPLETE.encode())):
                yield ack

    server = grpc.aio.server()
    handler = grpc.stream_stream_rpc_method_handler(acknowledge)
    service, method = METHOD.strip("/").split("/")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(json.dumps({"message": "listening", "grpc_port": port}), flush=True)
    await server.wait_for_termination()


class StreamLoadClient:
    """The streams of a client. Messages are built before they are timed."""

    def __init__(self, address: str, streams: int, size: int, ahead: int, rate: int, seconds: float) -> None:
        self._options = [("grpc.use_local_subchannel_pool", 1)]
        self._address, self._streams, self._size, self._ahead, self._seconds = address, streams, size, ahead, seconds
        self._interval = streams * size / rate if rate else 0.0
        self._took: list[float] = []

    async def run(self) -> dict[str, float]:
        messages = [
            pb.EventRequest(events=[event(n * self._size + i) for i in range(self._size)]).SerializeToString()
            for n in range(min(int(self._seconds * 40_000 / self._size), int(self._seconds * 8_000)))
        ]
        channels = [grpc.aio.insecure_channel(self._address, options=self._options) for _ in range(CONNECTIONS)]
        began = time.perf_counter()
        shares = [messages[k :: self._streams] for k in range(self._streams)]
        acked = await asyncio.gather(
            *(
                self._stream(channels[k % CONNECTIONS], shares[k], self._interval * k / self._streams)
                for k in range(self._streams)
            )
        )
        took = time.perf_counter() - began
        for channel in channels:
            await channel.close()
        self._took.sort()
        return {"events_per_s": sum(acked) / took, "p95_ack_ms": 1_000 * self._took[int(len(self._took) * 0.95)]}

    async def _stream(self, channel: grpc.aio.Channel, messages: list[bytes], later: float) -> int:
        call = channel.stream_stream(METHOD)()
        window = asyncio.Semaphore(self._ahead)
        sent: list[float] = []
        began = time.perf_counter()
        stop = began + self._seconds

        async def write() -> None:
            for number, message in enumerate(messages):
                await asyncio.sleep(max(0.0, began + later + number * self._interval - time.perf_counter()))
                await window.acquire()
                if time.perf_counter() > stop:
                    break
                sent.append(time.perf_counter())
                await call.write(message)
            await call.done_writing()

        writing = asyncio.create_task(write())
        acks = 0
        while await call.read() is not grpc.aio.EOF:
            acks += 1
            if acks % self._size == 0:
                self._took.append(time.perf_counter() - sent[acks // self._size - 1])
                window.release()
        await writing
        return acks


def measure_client(address: str, case: tuple[int, int, int, int], seconds: float) -> dict[str, float]:
    """Run a client in a process of its own and return its figures."""
    arguments = [sys.executable, __file__, "--load", address, *map(str, case), "--seconds", str(seconds)]
    figures: dict[str, float] = json.loads(subprocess.run(arguments, check=True, stdout=subprocess.PIPE).stdout)
    return figures


async def measure_pipeline(folder: Path, count: int) -> float:
    """Return the events/s of messages of 500 events through decoding and the pipeline alone, in this process."""
    store = open_store(folder / "piped.db")
    pipeline = Pipeline(
        store,
        IngestionMetrics(CollectorRegistry()),
        PipelineSettings(max_bytes=64 << 20, max_wait_s=60),
        DeadLetterHandlers(lambda _: None),
        draining=asyncio.Event(),
    )
    messages = [
        pb.EventRequest(events=[event(n * 500 + i) for i in range(500)]).SerializeToString() for n in range(count)
    ]
    began = time.perf_counter()
    answers = []
    for message in messages:
        size = held_bytes(len(message))
        await pipeline.reserve(size)
        decoded = [from_message(event) for event in pb.EventRequest.FromString(message).events]
        answers.append(pipeline.submit("default", decoded, size))
        await asyncio.sleep(0)
    await asyncio.gather(*answers)
    took = time.perf_counter() - began
    await pipeline.close()
    await store.close()
    return 500 * count / took


def rewrite_rows(written: Path, folder: Path) -> float:
    """Return the events/s of writing the service's rows again: by executemany, as durable, to a file of that schema."""
    source = apsw.Connection(str(written), flags=apsw.SQLITE_OPEN_READONLY)
    rows = {table: list(source.execute(f"SELECT * FROM {table}")) for table in TABLES}
    source.close()
    target = open_writer(folder / "raw.db")
    migrate(target)
    events = len(rows["nodes"])
    commits = -(-events // EVENTS_PER_COMMIT)
    began = time.perf_counter()
    for commit in range(commits):
        with target:
            for table, width in TABLES.items():
                part = rows[table][commit::commits] if table == "changes" else _part(rows[table], commit, commits)
                target.executemany(f"INSERT INTO {table} VALUES ({','.join('?' * width)})", part)
    took = time.perf_counter() - began
    target.close()
    return events / took


def _part(rows: list[tuple[object, ...]], commit: int, commits: int) -> list[tuple[object, ...]]:
    return rows[len(rows) * commit // commits : len(rows) * (commit + 1) // commits]


def run(seconds: float) -> dict[str, dict[str, float]]:
    """Run every case against a new store, each beside a server that does nothing."""
    figures: dict[str, dict[str, float]] = {}
    configure_logging("warning", sys.stderr)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tune_gc()
        events = asyncio.run(measure_pipeline(folder, int(seconds * 20)))
        rows = rewrite_rows(folder / "piped.db", folder)
        figures["the pipeline alone"] = {
            "events_per_s": events,
            "raw_rows_events_per_s": rows,
            "ratio_to_raw_rows": events / rows,
        }
        for number, (case, shape) in enumerate(CASES.items()):
            results = []
            for do_nothing in (True, False):
                server = StreamServer(folder / str(number), do_nothing=do_nothing)
                try:
                    results.append(measure_client(server.address, shape, seconds))
                finally:
                    server.stop()
            nothing, ours = results
            rows = rewrite_rows(folder / str(number) / "memory-graph.db", folder / str(number))
            figures[case] = {
                "events_per_s": ours["events_per_s"],
                "p95_ack_ms": ours["p95_ack_ms"],
                "raw_rows_events_per_s": rows,
                "ratio_to_raw_rows": ours["events_per_s"] / rows,
                "acks_only_per_s": nothing["events_per_s"],
                "ratio_to_acks_only": ours["events_per_s"] / nothing["events_per_s"],
            }
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=6, help="length of a run (default: 6)")
    parser.add_argument("--echo", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--load", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.echo:
        asyncio.run(echo())
    elif arguments.load:
        address, *shape = arguments.load
        print(json.dumps(asyncio.run(StreamLoadClient(address, *map(int, shape), arguments.seconds).run())))
    else:
        print(json.dumps(run(arguments.seconds), indent=2))


if __name__ == "__main__":
    main()
