"""A release whose workloads have 1,000 pods on 100 nodes: what waiting, planning and looking for drift cost.

Calls, CPU seconds and memory are bounded (docs/reference/benchmarks.md has what was measured); seconds of the clock
are those of the cluster, and only told.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .kubectl import Kubectl
from .measure import Measured, measured
from .nodes import PAUSE, add, node

Manifest = dict[str, Any]
HOME = "thousand-pods"
NODES = 100
PODS = {"Deployment": (20, 40), "StatefulSet": (4, 25), "DaemonSet": (1, NODES)}
"""How many workloads of a kind there are, and how many pods each has: 800, 100 and 100."""
WORKLOADS = sum(count for count, _pods in PODS.values())
BOUNDS = {"first": (180, 25), "again": (20, 4), "diff": (50, 5), "rollout": (220, 90), "drift": (130, 4)}
"""Calls, and CPU seconds: three times those of a machine with a load of 40, where more is judged one by one."""
MEMORY_MIB = 150
CALL_SECONDS = 5
"""So many seconds of waiting grant a call more: the lock is renewed, and watches end and begin again."""


@pytest.fixture
def kubectl() -> Kubectl:
    program = shutil.which("kubectl")
    assert program
    return Kubectl(Path(program), Path(os.environ["KUBECONFIG"]))


@pytest.fixture
def nodes(kubectl: Kubectl) -> Iterator[list[str]]:
    made = [node(f"thousand-{number:03}", pool="thousand") for number in range(NODES)]
    add(kubectl, made)
    names = [str(one["metadata"]["name"]) for one in made]
    yield names
    kubectl.run("delete", "namespace", HOME, "--ignore-not-found")
    kubectl.run("delete", "node", *names)


def objects(version: str) -> list[Manifest]:
    """A namespace, and for each workload its settings and its Service."""
    found: list[Manifest] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": HOME}}]
    for kind, (count, pods) in PODS.items():
        for number in range(count):
            name = f"{kind.lower()}-{number:02}"
            found.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}})
            port = {"name": "grpc", "port": 50051}
            service = {"selector": {"app": name}, "ports": [port], "clusterIP": "None"}
            found.append({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": service})
            found.append(workload(kind, name, pods, version))
    return found


def workload(kind: str, name: str, pods: int, version: str) -> Manifest:
    container = {
        "name": "main", "image": PAUSE, "env": [{"name": "VERSION", "value": version}],
        "ports": [{"name": "grpc", "containerPort": 50051}], "readinessProbe": {"tcpSocket": {"port": "grpc"}},
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
    }  # fmt: skip
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [container], "nodeSelector": {"pool": "thousand"}},
    }
    spec: Manifest = {"selector": {"matchLabels": {"app": name}}, "template": template}
    if kind == "StatefulSet":
        spec |= {"serviceName": name, "podManagementPolicy": "Parallel"}
    if kind == "DaemonSet":
        spec["updateStrategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}}
    else:
        spec["replicas"] = pods
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def release(version: str, *, check: bool = False) -> Measured:
    return measured(
        "release", check=check, name="thousand", namespace=HOME, objects=objects(version), wait_timeout=1200
    )


def ready(answer: Manifest) -> int:
    """The pods of all workloads that are said to be ready."""
    reasons = [one["reason"] for one in answer["statuses"] if one["kind"] in PODS]
    return sum(int(reason.split("/")[0]) for reason in reasons if reason.endswith(" ready"))


@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("nodes")
def test_a_thousand_pods_on_a_hundred_nodes(kubectl: Kubectl, capsys: pytest.CaptureFixture[str]) -> None:
    first = release("1")
    assert ready(first.answer) == 1000
    again = release("1")
    assert not again.answer["changed"]
    diff = release("2", check=True)
    assert diff.answer["summary"]["changed"] == WORKLOADS
    rollout = release("2")
    assert ready(rollout.answer) == 1000
    kubectl.run("scale", "deployment/deployment-07", f"--namespace={HOME}", "--replicas=39")
    drift = measured("release_info", name="thousand", namespace=HOME)
    assert [one["name"] for one in drift.answer["drift"]] == ["deployment-07"]
    found = {"first": first, "again": again, "diff": diff, "rollout": rollout, "drift": drift}
    with capsys.disabled():
        print(f"\n{'1,000 pods':<12}{'calls':>8}{'CPU s':>8}{'MiB':>8}  seconds of the phases")
        for name, one in found.items():
            phases = " ".join(f"{phase} {seconds:.1f}" for phase, seconds in one.answer.get("timings", {}).items())
            print(f"{name:<12}{one.calls:>8}{one.cpu_seconds:>8.1f}{one.memory_mib:>8.0f}  {phases}")
    for name, one in found.items():
        calls, cpu_seconds = BOUNDS[name]
        waited = one.answer.get("timings", {}).get("wait", 0)
        assert one.calls <= calls + waited / CALL_SECONDS, f"{name}: {one.calls} calls"
        assert one.cpu_seconds <= cpu_seconds, f"{name}: {one.cpu_seconds:.1f} s of CPU"
        assert one.memory_mib <= MEMORY_MIB, f"{name}: {one.memory_mib:.0f} MiB"
