"""A release whose workloads have 1,000 pods on 100 nodes: the costs of waiting, planning and finding drift.

Calls, CPU seconds and memory are bounded (docs/reference/benchmarks.md has the measured figures); seconds of the
clock are those of the cluster, and only printed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .kubectl import KubectlRunner
from .measure import ModuleRun, run_module
from .nodes import PAUSE, add, node

Manifest = dict[str, Any]
NAMESPACE = "thousand-pods"
NODES = 100
PODS = {"Deployment": (20, 40), "StatefulSet": (4, 25), "DaemonSet": (1, NODES)}
"""The number of workloads of a kind, and of pods of each: 800, 100 and 100 in all."""
WORKLOADS = sum(count for count, _pods in PODS.values())
BOUNDS = {"first": (180, 25), "again": (20, 4), "diff": (50, 5), "rollout": (220, 90), "drift": (130, 4)}
"""Calls, and CPU seconds: three times those of a machine with a load of 40."""
MEMORY_MIB = 150
WAIT_PER_CALL_S = 5
"""One call more is allowed per this time of waiting: the lock is renewed, and watches end and begin again."""


@pytest.fixture
def kubectl() -> KubectlRunner:
    program = shutil.which("kubectl")
    assert program
    return KubectlRunner(Path(program), Path(os.environ["KUBECONFIG"]))


@pytest.fixture
def nodes(kubectl: KubectlRunner) -> Iterator[list[str]]:
    manifests = [node(f"thousand-{number:03}", pool="thousand") for number in range(NODES)]
    add(kubectl, manifests)
    names = [str(manifest["metadata"]["name"]) for manifest in manifests]
    yield names
    kubectl.run("delete", "namespace", NAMESPACE, "--ignore-not-found")
    kubectl.run("delete", "node", *names)


def objects(version: str) -> list[Manifest]:
    """Return a namespace, and for each workload its ConfigMap, its Service and itself."""
    manifests: list[Manifest] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}]
    for kind, (count, pods) in PODS.items():
        for number in range(count):
            name = f"{kind.lower()}-{number:02}"
            manifests.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}})
            port = {"name": "grpc", "port": 50051}
            service = {"selector": {"app": name}, "ports": [port], "clusterIP": "None"}
            manifests.append({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": service})
            manifests.append(workload(kind, name, pods, version))
    return manifests


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


def release(version: str, *, check: bool = False) -> ModuleRun:
    return run_module(
        "release", check=check, name="thousand", namespace=NAMESPACE, objects=objects(version), wait_timeout=1200
    )


def ready(answer: Manifest) -> int:
    """Return the sum of the ready pods in the statuses of all workloads."""
    reasons = [status["reason"] for status in answer["statuses"] if status["kind"] in PODS]
    return sum(int(reason.split("/")[0]) for reason in reasons if reason.endswith(" ready"))


@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("nodes")
def test_a_thousand_pods_on_a_hundred_nodes(kubectl: KubectlRunner, capsys: pytest.CaptureFixture[str]) -> None:
    first = release("1")
    assert ready(first.answer) == 1000
    again = release("1")
    assert not again.answer["changed"]
    diff = release("2", check=True)
    assert diff.answer["summary"]["changed"] == WORKLOADS
    rollout = release("2")
    assert ready(rollout.answer) == 1000
    kubectl.run("scale", "deployment/deployment-07", f"--namespace={NAMESPACE}", "--replicas=39")
    drift = run_module("release_info", name="thousand", namespace=NAMESPACE)
    assert [row["name"] for row in drift.answer["drift"]] == ["deployment-07"]
    runs = {"first": first, "again": again, "diff": diff, "rollout": rollout, "drift": drift}
    with capsys.disabled():
        print(f"\n{'1,000 pods':<12}{'calls':>8}{'CPU s':>8}{'MiB':>8}  seconds of the phases")
        for name, run in runs.items():
            phases = " ".join(f"{phase} {seconds:.1f}" for phase, seconds in run.answer.get("timings", {}).items())
            print(f"{name:<12}{run.calls:>8}{run.cpu_seconds:>8.1f}{run.memory_mib:>8.0f}  {phases}")
    for name, run in runs.items():
        calls, cpu_seconds = BOUNDS[name]
        waited = run.answer.get("timings", {}).get("wait", 0)
        assert run.calls <= calls + waited / WAIT_PER_CALL_S, f"{name}: {run.calls} calls"
        assert run.cpu_seconds <= cpu_seconds, f"{name}: {run.cpu_seconds:.1f} s of CPU"
        assert run.memory_mib <= MEMORY_MIB, f"{name}: {run.memory_mib:.0f} MiB"
