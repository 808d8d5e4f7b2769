"""The service over gRPC: AddPrompt against an rpc that does nothing on the same server, latency at fixed rates, memory.

    python service/benches/grpc_bench.py [--requests 20000]

Load comes from ghz, a Go program: a Python client would be the slower half of what is measured. Client and server share
the machine. The two sides of a ratio are measured in turn in one run.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import grpc
import psutil

from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb
from memory_graph.gen.llm.memory.graph.v1.memory_graph_pb2_grpc import MemoryGraphServiceStub

GHZ = "github.com/bojand/ghz/cmd/ghz@v0.120.0"
PROTO = Path(__file__).parent.parent / "proto"
SERVICE = "llm.memory.graph.v1.MemoryGraphService"
CONTENT = "Please compare the two deployment plans and say which one rolls back faster, and why. " * 4
ROUNDS = 3
IN_FLIGHT = 64


def ghz() -> str:
    """Return ghz from the PATH, or build it once into the user's cache."""
    installed = shutil.which("ghz")
    if installed:
        return installed
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "memory-graph" / "bin"
    if not (cache / "ghz").exists():
        print("building ghz, once …", file=sys.stderr)
        subprocess.run(["go", "install", GHZ], env={**os.environ, "GOBIN": str(cache), "CGO_ENABLED": "0"}, check=True)
    return str(cache / "ghz")


class BenchServer:
    """`memory-graph serve` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        settings = {
            "DB_PATH": str(folder),
            "GRPC_PORT": "0",
            "METRICS_PORT": "0",
            "REST_PORT": "0",
            "MAX_CONNECTION_AGE_S": "3600",
        }
        command = [sys.executable, "-m", "memory_graph.cli", "serve"]
        self.process = subprocess.Popen(command, env={**os.environ, **settings}, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        listening = next(line for line in self.process.stdout if '"listening"' in line)
        self.address = f"127.0.0.1:{json.loads(listening)['grpc_port']}"
        self.graph = MemoryGraphServiceStub(grpc.insecure_channel(self.address))

    def rss_mib(self) -> float:
        return float(psutil.Process(self.process.pid).memory_info().rss) / (1 << 20)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def run_ghz(tool: str, address: str, method: str, request: dict[str, Any], *options: str) -> dict[str, float]:
    """Run ghz and return requests/s and latencies in milliseconds.

    :raises RuntimeError: when any call failed.
    """
    command = [tool, "--insecure", "--proto", "llm/memory/graph/v1/memory_graph.proto", "--import-paths", str(PROTO)]
    command += ["--call", f"{SERVICE}/{method}", "--data", json.dumps(request), "--format", "json", *options, address]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    failed = {code: count for code, count in report["statusCodeDistribution"].items() if code != "OK"}
    if failed:
        raise RuntimeError(f"{method}: calls failed: {failed}")
    latencies = {entry["percentage"]: entry["latency"] / 1e6 for entry in report["latencyDistribution"]}
    return {"rps": report["rps"], "p50_ms": latencies[50], "p95_ms": latencies[95]}


def against_empty(tool: str, server: BenchServer, session: str, requests: int) -> dict[str, float]:
    """Measure AddPrompt, durable, against Health, at 64 in flight: pairs, in turn."""
    options = ("--concurrency", str(IN_FLIGHT), "--connections", "4", "--total", str(requests))
    prompt = {"session_id": session, "content": CONTENT, "metadata": {"model": "large", "temperature": 0.2}}
    empty, ours = [], []
    for _ in range(ROUNDS + 1):
        empty.append(run_ghz(tool, server.address, "Health", {}, *options))
        ours.append(run_ghz(tool, server.address, "AddPrompt", prompt, *options))
    ratios = [mine["rps"] / nothing["rps"] for mine, nothing in zip(ours[1:], empty[1:], strict=True)]
    return {
        "empty_rps": statistics.median(run["rps"] for run in empty[1:]),
        "add_prompt_rps": statistics.median(run["rps"] for run in ours[1:]),
        "add_prompt_p95_ms": statistics.median(run["p95_ms"] for run in ours[1:]),
        "ratio_to_empty": statistics.median(ratios),
    }


def at_rate(tool: str, server: BenchServer, session: str, rate: int) -> dict[str, float]:
    """Measure AddPrompt at a fixed rate for ten seconds."""
    options = ("--rps", str(rate), "--concurrency", "100", "--connections", "4", "--total", str(rate * 10))
    prompt = {"session_id": session, "content": CONTENT, "metadata": {"model": "large"}}
    return run_ghz(tool, server.address, "AddPrompt", prompt, *options)


def batches(server: BenchServer, session: str) -> dict[str, float]:
    """Measure BatchCreateNodes of 1,000 prompts, one call at a time."""
    node = pb.Node(type=pb.NODE_TYPE_PROMPT, prompt=pb.PromptNode(session_id=session, content=CONTENT))
    request = pb.BatchCreateNodesRequest(nodes=[node] * 1_000)
    took = []
    for _ in range(12):
        began = time.perf_counter()
        server.graph.BatchCreateNodes(request)
        took.append(time.perf_counter() - began)
    return {"nodes_per_s": 1_000 / statistics.median(took[2:])}


def pages(tool: str, server: BenchServer, session: str) -> dict[str, float]:
    """Measure Query, 100 nodes a page, with eight callers."""
    request = {"session_id": session, "node_type": "NODE_TYPE_PROMPT", "limit": 100}
    return run_ghz(tool, server.address, "Query", request, "--concurrency", "8", "--total", "2000")


def run(requests: int) -> dict[str, dict[str, float]]:
    tool = ghz()
    with tempfile.TemporaryDirectory() as folder:
        server = BenchServer(Path(folder))
        try:
            session = server.graph.CreateSession(pb.CreateSessionRequest(), wait_for_ready=True).id
            idle = server.rss_mib()
            figures = {"AddPrompt against an empty rpc, 64 in flight": against_empty(tool, server, session, requests)}
            for rate in (500, 1_000):
                figures[f"AddPrompt at {rate:,}/s"] = at_rate(tool, server, session, rate)
            figures["BatchCreateNodes of 1,000"] = batches(server, session)
            figures["Query, 100 a page"] = pages(tool, server, session)
            figures["memory"] = {"idle_rss_mib": idle, "loaded_rss_mib": server.rss_mib()}
        finally:
            server.stop()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=re.split(r"\n\n", __doc__ or "")[0])
    parser.add_argument("--requests", type=int, default=20_000, help="calls a round (default: 20000)")
    arguments = parser.parse_args()
    figures = run(arguments.requests)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
