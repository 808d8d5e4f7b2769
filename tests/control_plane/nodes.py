"""Nodes that kwok keeps ready, with the images that their status lists."""

from __future__ import annotations

from typing import Any

from .kubectl import KubectlRunner

Manifest = dict[str, Any]
PAUSE, BUSYBOX = "registry.k8s.io/pause:3.10.1", "node.local/busybox:1.35"
"""Only pods of these images start: stages.yml."""
RESOURCES = {"cpu": "8", "memory": "16000001Ki", "ephemeral-storage": "100Gi", "pods": "110"}
"""Memory in Ki as a kubelet reports it; kubectl would convert it to larger units."""


def node(name: str, **labels: str) -> Manifest:
    all_labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", **labels}
    images = [{"names": [image], "sizeBytes": 1 << 20} for image in (PAUSE, BUSYBOX)]
    status = {"capacity": RESOURCES, "allocatable": RESOURCES, "images": images}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": all_labels}, "status": status}


def add(kubectl: KubectlRunner, nodes: list[Manifest]) -> None:
    """Add nodes and return once they are ready."""
    kubectl.apply(nodes)
    kubectl.wait("condition=Ready", *(f"node/{manifest['metadata']['name']}" for manifest in nodes))
