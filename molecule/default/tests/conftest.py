"""The deployed release, seen from outside: the Kubernetes API, a shell in the pod, and gRPC through the Service."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
import testinfra

from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2_grpc

ROOT = Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT / "collections"))

from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._cluster import connect  # noqa: E402

# A machine without kubectl has the one that came with the cluster.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
os.environ["PATH"] += f"{os.pathsep}{CACHE / 'memory-graph' / 'bin'}"

NAMESPACE = "llm-memory-graph"
ENDPOINT = os.environ.get("MEMORY_GRAPH_ENDPOINT", "127.0.0.1:50061")
WAIT_TIMEOUT_S = 300


class DeployedRelease:
    """The objects of the release in the cluster, and its only pod."""

    def __init__(self) -> None:
        self.cluster = connect({"kubeconfig": os.environ["KUBECONFIG"]})
        self.namespace = NAMESPACE
        self._path = f"namespaces/{NAMESPACE}"

    def get(self, plural: str, name: str, group: str = "api/v1") -> dict:
        """Return the object of that name."""
        return self.cluster.request("GET", f"/{group}/{self._path}/{plural}/{name}")

    def get_all(self, plural: str, group: str = "api/v1") -> list[dict]:
        """Return every object of that kind that belongs to the release."""
        return list(self.cluster.list(f"/{group}/{self._path}/{plural}", "app.kubernetes.io/instance=memory-graph"))

    def pod(self) -> dict:
        """Return the only pod."""
        (pod,) = self.get_all("pods")
        return pod

    def log(self) -> str:
        """Return the log of the pod."""
        return self.cluster.text(f"/api/v1/{self._path}/pods/{self.pod()['metadata']['name']}/log")

    def kill(self) -> str:
        """Delete the pod without grace, as the death of a node would; return its uid."""
        pod = self.pod()["metadata"]
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod["uid"]}}
        self.cluster.request("DELETE", f"/api/v1/{self._path}/pods/{pod['name']}", None, body)
        return pod["uid"]

    def is_replaced(self, uid: str) -> bool:
        """Return whether a pod other than `uid` is ready."""
        return any(
            pod["metadata"]["uid"] != uid and condition["type"] == "Ready" and condition["status"] == "True"
            for pod in self.get_all("pods")
            for condition in pod["status"].get("conditions", [])
        )


@pytest.fixture(scope="session")
def release() -> DeployedRelease:
    """The release under test."""
    return DeployedRelease()


@pytest.fixture(scope="session")
def container_shell(release):
    """A shell in the container."""
    return testinfra.get_host(f"kubectl://{release.pod()['metadata']['name']}?namespace={NAMESPACE}")


@pytest.fixture
def connect_client() -> Iterator[Callable[[], memory_graph_pb2_grpc.MemoryGraphServiceStub]]:
    """A function that makes clients of the published Service, each on a connection of its own."""
    with ExitStack() as stack:

        def connect_stub() -> memory_graph_pb2_grpc.MemoryGraphServiceStub:
            channel = stack.enter_context(grpc.insecure_channel(ENDPOINT))
            grpc.channel_ready_future(channel).result(timeout=WAIT_TIMEOUT_S)
            return memory_graph_pb2_grpc.MemoryGraphServiceStub(channel)

        yield connect_stub


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    """A function that waits until a condition holds."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_TIMEOUT_S
        while not condition():
            assert time.monotonic() < deadline, f"not within {WAIT_TIMEOUT_S} s: {condition}"
            time.sleep(0.2)

    return wait
