"""The objects that are deployed: the memory graph's own, and synthetic releases that start no pod."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .tools import ROOT

Manifest = dict[str, Any]
NAMESPACE = "memory-graph-bench"


@dataclass(frozen=True)
class Case:
    """One set of objects. None of them is a Namespace: the namespace of a side exists beforehand."""

    title: str
    objects: tuple[Manifest, ...]

    def into(self, namespace: str) -> list[Manifest]:
        """The objects, with every mention of the namespace they were rendered for replaced."""
        objects: list[Manifest] = json.loads(json.dumps(self.objects).replace(NAMESPACE, namespace))
        return objects


def synthetic(size: int) -> Case:
    """`size` objects, half of them ConfigMaps and half Deployments; 25 are ConfigMaps only."""
    if size == 25:
        return Case("25 ConfigMaps", tuple(config_map(number) for number in range(size)))
    objects = [deployment(number) if number % 2 else config_map(number) for number in range(size)]
    return Case(f"{size:,} objects, half Deployments", tuple(objects))


def config_map(number: int) -> Manifest:
    name = f"settings-{number:04}"
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "bench"}
    data = {"LOG_LEVEL": "info", "REQUEST_TIMEOUT_MS": "30000", "settings.yaml": f"number: {number}\n" + "# -\n" * 50}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}, "data": data}


def deployment(number: int) -> Manifest:
    """Paused and without replicas: the controller makes no ReplicaSet, which would be measured with it."""
    name = f"worker-{number:04}"
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "bench"}
    container = {
        "name": "worker",
        "image": "worker:bench",
        "args": ["serve", "--number", str(number)],
        "env": [{"name": "LOG_LEVEL", "value": "info"}],
        "ports": [{"name": "grpc", "containerPort": 50051}],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "1000m", "memory": "1Gi"}},
        "readinessProbe": {"tcpSocket": {"port": "grpc"}, "periodSeconds": 10},
    }
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    selector = {"matchLabels": {"app.kubernetes.io/name": name}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {"replicas": 0, "paused": True, "selector": selector, "template": pod},
    }


def memory_graph() -> Case:
    """The memory graph as rendered, without its pod: every side would wait for the same image."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "memory_graph_render_directory": folder,
            "memory_graph_namespace": NAMESPACE,
            "memory_graph_image": "memory-graph:bench",
            "memory_graph_service_type": "ClusterIP",
            "memory_graph_service_node_port": 0,
            "memory_graph_endpoint": "",
        }
        command = [str(ROOT / ".venv/bin/ansible-playbook"), "playbooks/render.yml", "--inventory", "inventories/local"]
        subprocess.run([*command, "--extra-vars", json.dumps(settings)], cwd=ROOT, check=True, capture_output=True)
        documents = [yaml.safe_load_all(path.read_text()) for path in sorted(Path(folder).rglob("*.yaml"))]
        objects = [document for group in documents for document in group if document]
    # A Kustomization lists the files beside it, and is no object of the cluster.
    applied = [document for document in objects if document["kind"] not in ("Namespace", "Kustomization")]
    for document in applied:
        if document["kind"] == "StatefulSet":
            document["spec"]["replicas"] = 0
    return Case(f"the memory graph, {len(applied)} objects", tuple(applied))
