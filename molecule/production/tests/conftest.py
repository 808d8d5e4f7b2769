"""The deployed release from outside: the Kubernetes API, programs run in its pods, and gRPC through the Service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path
from typing import Any

import grpc
import pytest

from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb
from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2_grpc

ROOT = Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT / "collections"))

from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ApiError  # noqa: E402
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import connect  # noqa: E402

# A machine without kubectl has the one that came with the cluster.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
os.environ["PATH"] += f"{os.pathsep}{CACHE / 'memory-graph' / 'bin'}"

NAMESPACE = os.environ.get("MEMORY_GRAPH_NAMESPACE", "llm-memory-graph")
ENDPOINT = os.environ.get("MEMORY_GRAPH_ENDPOINT", "127.0.0.1:50071")
API, WORKER = "memory-graph", "memory-graph-worker"
DEADLINE_SECONDS = 600
PLAY_SECONDS = 600
CALL_SECONDS = 60
PASSING = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
"""What a call may end with while pods come and go."""
PATIENT = [
    ("grpc.service_config", json.dumps({"methodConfig": [{"name": [{}], "waitForReady": True, "retryPolicy": {
        "maxAttempts": 5, "initialBackoff": "0.5s", "maxBackoff": "5s", "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"]}}]})),
]  # fmt: skip
"""A client's options: a call that finds its pod gone, as when an autoscaler takes it, is sent again."""
PRODUCER = (Path(__file__).parent / "producer.py").read_text()
VARIABLES = os.environ.get("MEMORY_GRAPH_VARIABLES", str(Path(__file__).parents[1] / "vars/laptop.yml"))


class Release:
    """What the deployment left in the cluster."""

    def __init__(self) -> None:
        self.cluster = connect({"kubeconfig": os.environ["KUBECONFIG"]})

    def found(self, plural: str, name: str, group: str = "api/v1") -> dict[str, Any] | None:
        """The object of that name, if there is one."""
        return self.cluster.find(f"/{group}/namespaces/{NAMESPACE}/{plural}/{name}")

    def pods(self, name: str) -> list[dict[str, Any]]:
        """Pods of a workload, those that are going not among them."""
        listed = self.cluster.list(f"/api/v1/namespaces/{NAMESPACE}/pods", f"app.kubernetes.io/name={name}")
        return [pod for pod in listed if "deletionTimestamp" not in pod["metadata"]]

    def ready(self, name: str) -> list[str]:
        """Names of the pods that are."""
        return [
            pod["metadata"]["name"]
            for pod in self.pods(name)
            for one in pod["status"].get("conditions", [])
            if one["type"] == "Ready" and one["status"] == "True"
        ]

    def at_least(self, count: int, name: str) -> list[str]:
        """Names of the pods that are ready, once there are so many."""
        awaited(lambda: len(self.ready(name)) >= count)
        return self.ready(name)

    def kill(self, pod: str) -> None:
        """Without grace, as a node that dies. An autoscaler may have taken it away already."""
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}"
        try:
            self.cluster.request("DELETE", path, None, {"gracePeriodSeconds": 0})
        except ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise

    def start(self, pod: str, *command: str, script: str = "") -> subprocess.Popen[str]:
        """A program in a pod; its standard input is the script."""
        process = subprocess.Popen(
            ["kubectl", "-n", NAMESPACE, "exec", "-i", pod, "--", *command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdin
        process.stdin.write(script)
        process.stdin.close()
        process.stdin = None
        return process

    def produce(self, pod: str, run: str, count: int, per_second: int) -> subprocess.Popen[str]:
        """Sends telemetry to Kafka from inside the pod, which an autoscaler then takes away last."""
        last = {"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "1000"}}}
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}"
        self.cluster.request("PATCH", path, None, last, "application/merge-patch+json")
        return self.start(pod, "python3", "-", run, str(count), str(per_second), script=PRODUCER)

    def play(self, name: str, *arguments: str, **variables: object) -> subprocess.CompletedProcess[str]:
        """Runs playbooks/`name`.yml as converge did."""
        command = [str(Path(sys.executable).parent / "ansible-playbook"), f"playbooks/{name}.yml",
                   "-i", "inventories/production", "-e", f"@{VARIABLES}", "-e", json.dumps(variables),
                   *arguments]  # fmt: skip
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
        ours = {"ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
        return subprocess.run(command, cwd=ROOT, env=inherited | ours, check=False, text=True, timeout=PLAY_SECONDS,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)  # fmt: skip


def answer(process: subprocess.Popen[str]) -> str:
    """What a program printed, once it ended well."""
    out, err = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 0, err
    return out.strip()


def awaited(condition: Callable[[], bool]) -> None:
    """Returns when the condition holds; where it asks the service, once that answers."""
    until, passing = time.monotonic() + DEADLINE_SECONDS, None
    while True:
        try:
            if condition():
                return
        except grpc.RpcError as error:
            if error.code() not in PASSING:
                raise
            passing = error
        assert time.monotonic() < until, f"not within {DEADLINE_SECONDS} s; {passing or 'it always answered'}"
        time.sleep(0.3)


def stored(graph: memory_graph_pb2_grpc.MemoryGraphServiceStub, run: str) -> int:
    """How many events of a run are in the graph."""
    asked = pb.QueryRequest(node_type=pb.NODE_TYPE_INVOCATION, filters={"metadata.run": run}, limit=1)
    return graph.Query(asked, timeout=CALL_SECONDS).total_count


@pytest.fixture(scope="session")
def release() -> Release:
    """The release under test."""
    return Release()


@pytest.fixture
def channel() -> Iterator[Callable[[], grpc.Channel]]:
    """Makes connections to the published Service."""
    with ExitStack() as stack:

        def connected() -> grpc.Channel:
            made = stack.enter_context(grpc.insecure_channel(ENDPOINT, PATIENT))
            grpc.channel_ready_future(made).result(timeout=DEADLINE_SECONDS)
            return made

        yield connected


@pytest.fixture
def graph(channel: Callable[[], grpc.Channel]) -> memory_graph_pb2_grpc.MemoryGraphServiceStub:
    """A client of the memory graph."""
    return memory_graph_pb2_grpc.MemoryGraphServiceStub(channel())
