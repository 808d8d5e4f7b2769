"""Nodes that kwok keeps ready, with images that are said to be on them."""

from __future__ import annotations

from typing import Any

from .kubectl import Kubectl

Manifest = dict[str, Any]
PAUSE, BUSYBOX = "registry.k8s.io/pause:3.10.1", "node.local/busybox:1.35"
"""Pods of these start, and of no other image: stages.yml."""
RESOURCES = {"cpu": "8", "memory": "16000001Ki", "ephemeral-storage": "100Gi", "pods": "110"}
"""Memory in Ki as a kubelet tells it, which kubectl would make larger units of where it can."""


def node(name: str, **labels: str) -> Manifest:
    known = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", **labels}
    images = [{"names": [one], "sizeBytes": 1 << 20} for one in (PAUSE, BUSYBOX)]
    status = {"capacity": RESOURCES, "allocatable": RESOURCES, "images": images}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": known}, "status": status}


def add(kubectl: Kubectl, nodes: list[Manifest]) -> None:
    """Returns once they are ready."""
    kubectl.apply(nodes)
    kubectl.wait("condition=Ready", *(f"node/{one['metadata']['name']}" for one in nodes))
