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
WAIT_TIMEOUT_S = 600
PLAYBOOK_TIMEOUT_S = 600
CALL_TIMEOUT_S = 60
TRANSIENT_CODES = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
"""Codes that a call may end with while pods come and go."""
RETRY_OPTIONS = [
    ("grpc.service_config", json.dumps({"methodConfig": [{"name": [{}], "waitForReady": True, "retryPolicy": {
        "maxAttempts": 5, "initialBackoff": "0.5s", "maxBackoff": "5s", "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"]}}]})),
]  # fmt: skip
"""Channel options: a call whose pod is gone, as when an autoscaler deleted it, is sent again."""
PRODUCER = (Path(__file__).parent / "producer.py").read_text()
VARIABLES = os.environ.get("MEMORY_GRAPH_VARIABLES", str(Path(__file__).parents[1] / "vars/laptop.yml"))


class ProductionRelease:
    """The objects of the release in the cluster, programs in its pods, and the playbooks that deploy it."""

    def __init__(self) -> None:
        self.cluster = connect({"kubeconfig": os.environ["KUBECONFIG"]})

    def find(self, plural: str, name: str, group: str = "api/v1") -> dict[str, Any] | None:
        """Return the object of that name, if there is one."""
        return self.cluster.find(f"/{group}/namespaces/{NAMESPACE}/{plural}/{name}")

    def pods(self, name: str) -> list[dict[str, Any]]:
        """Return the pods of a workload, without those that are being deleted."""
        pods = self.cluster.list(f"/api/v1/namespaces/{NAMESPACE}/pods", f"app.kubernetes.io/name={name}")
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def ready_pods(self, name: str) -> list[str]:
        """Return the names of the ready pods of a workload."""
        return [
            pod["metadata"]["name"]
            for pod in self.pods(name)
            for condition in pod["status"].get("conditions", [])
            if condition["type"] == "Ready" and condition["status"] == "True"
        ]

    def wait_for_ready(self, count: int, name: str) -> list[str]:
        """Wait until that many pods of a workload are ready; return their names."""
        wait_until(lambda: len(self.ready_pods(name)) >= count)
        return self.ready_pods(name)

    def kill(self, pod: str) -> None:
        """Delete the pod without grace, as the death of a node would. An autoscaler may have deleted it already."""
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}"
        try:
            self.cluster.request("DELETE", path, None, {"gracePeriodSeconds": 0})
        except ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise

    def execute(self, pod: str, *command: str, script: str = "") -> subprocess.Popen[str]:
        """Start a program in a pod; its standard input is the script."""
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
        """Send telemetry to Kafka from inside the pod, which an autoscaler then deletes last."""
        deletion_cost = {"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "1000"}}}
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}"
        self.cluster.request("PATCH", path, None, deletion_cost, "application/merge-patch+json")
        return self.execute(pod, "python3", "-", run, str(count), str(per_second), script=PRODUCER)

    def run_playbook(self, name: str, *arguments: str, **variables: object) -> subprocess.CompletedProcess[str]:
        """Run playbooks/`name`.yml as converge did."""
        command = [str(Path(sys.executable).parent / "ansible-playbook"), f"playbooks/{name}.yml",
                   "-i", "inventories/production", "-e", f"@{VARIABLES}", "-e", json.dumps(variables),
                   *arguments]  # fmt: skip
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
        settings = {"ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
        return subprocess.run(
            command, cwd=ROOT, env=inherited | settings, check=False, text=True, timeout=PLAYBOOK_TIMEOUT_S,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip


def output_of(process: subprocess.Popen[str]) -> str:
    """Return the output of a program, once it ended well."""
    out, err = process.communicate(timeout=WAIT_TIMEOUT_S)
    assert process.returncode == 0, err
    return out.strip()


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds. A service that is unavailable meanwhile counts as not yet."""
    deadline, last_error = time.monotonic() + WAIT_TIMEOUT_S, None
    while True:
        try:
            if condition():
                return
        except grpc.RpcError as error:
            if error.code() not in TRANSIENT_CODES:
                raise
            last_error = error
        assert time.monotonic() < deadline, f"not within {WAIT_TIMEOUT_S} s; {last_error or 'it always answered'}"
        time.sleep(0.3)


def count_stored(graph: memory_graph_pb2_grpc.MemoryGraphServiceStub, run: str) -> int:
    """Return how many events of a run are in the graph."""
    request = pb.QueryRequest(node_type=pb.NODE_TYPE_INVOCATION, filters={"metadata.run": run}, limit=1)
    return graph.Query(request, timeout=CALL_TIMEOUT_S).total_count


@pytest.fixture(scope="session")
def release() -> ProductionRelease:
    """The release under test."""
    return ProductionRelease()


@pytest.fixture
def open_channel() -> Iterator[Callable[[], grpc.Channel]]:
    """A function that opens connections to the published Service."""
    with ExitStack() as stack:

        def connect_service() -> grpc.Channel:
            connection = stack.enter_context(grpc.insecure_channel(ENDPOINT, RETRY_OPTIONS))
            grpc.channel_ready_future(connection).result(timeout=WAIT_TIMEOUT_S)
            return connection

        yield connect_service


@pytest.fixture
def graph(open_channel: Callable[[], grpc.Channel]) -> memory_graph_pb2_grpc.MemoryGraphServiceStub:
    """A client of the memory graph."""
    return memory_graph_pb2_grpc.MemoryGraphServiceStub(open_channel())
