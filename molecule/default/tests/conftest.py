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
DEADLINE_SECONDS = 300


class Release:
    """What the deployment left in the cluster."""

    def __init__(self) -> None:
        self.cluster = connect({"kubeconfig": os.environ["KUBECONFIG"]})
        self.namespace = NAMESPACE
        self._path = f"namespaces/{NAMESPACE}"

    def one(self, plural: str, name: str, group: str = "api/v1") -> dict:
        """The object of that name."""
        return self.cluster.request("GET", f"/{group}/{self._path}/{plural}/{name}")

    def all(self, plural: str, group: str = "api/v1") -> list[dict]:
        """Every object of that kind that belongs to the release."""
        return list(self.cluster.list(f"/{group}/{self._path}/{plural}", "app.kubernetes.io/instance=memory-graph"))

    def pod(self) -> dict:
        """The only pod."""
        (pod,) = self.all("pods")
        return pod

    def log(self) -> str:
        """What the pod has logged."""
        return self.cluster.text(f"/api/v1/{self._path}/pods/{self.pod()['metadata']['name']}/log")

    def kill(self) -> str:
        """Deletes the pod without grace, as a node that dies; returns its uid."""
        pod = self.pod()["metadata"]
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod["uid"]}}
        self.cluster.request("DELETE", f"/api/v1/{self._path}/pods/{pod['name']}", None, body)
        return pod["uid"]

    def replaced(self, uid: str) -> bool:
        """Whether another pod than `uid` is ready."""
        return any(
            pod["metadata"]["uid"] != uid and condition["type"] == "Ready" and condition["status"] == "True"
            for pod in self.all("pods")
            for condition in pod["status"].get("conditions", [])
        )


@pytest.fixture(scope="session")
def release() -> Release:
    """The release under test."""
    return Release()


@pytest.fixture(scope="session")
def inside(release):
    """A shell in the container."""
    return testinfra.get_host(f"kubectl://{release.pod()['metadata']['name']}?namespace={NAMESPACE}")


@pytest.fixture
def dial() -> Iterator[Callable[[], memory_graph_pb2_grpc.MemoryGraphServiceStub]]:
    """Makes clients of the published Service, each on a connection of its own."""
    with ExitStack() as stack:

        def connected() -> memory_graph_pb2_grpc.MemoryGraphServiceStub:
            channel = stack.enter_context(grpc.insecure_channel(ENDPOINT))
            grpc.channel_ready_future(channel).result(timeout=DEADLINE_SECONDS)
            return memory_graph_pb2_grpc.MemoryGraphServiceStub(channel)

        yield connected


@pytest.fixture
def awaited() -> Callable[[Callable[[], bool]], None]:
    """Waits until a condition holds."""

    def wait(condition: Callable[[], bool]) -> None:
        until = time.monotonic() + DEADLINE_SECONDS
        while not condition():
            assert time.monotonic() < until, f"not within {DEADLINE_SECONDS} s: {condition}"
            time.sleep(0.2)

    return wait
