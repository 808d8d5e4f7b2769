# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Preflight: whether the nodes can take the pods, and which of them have the images already."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from .._errors import ApiError
from ..objects import _resource_requests
from ..objects._manifest import Object
from ..objects._quantity import show
from ..objects._resource_requests import Pods
from ._context import PreflightContext
from ._scheduling import Node, nodes_of, occupy, place, requests, suitable

MOST_IMAGES = 50
"""The kubelet names no more images of a node (nodeStatusMaxImages): with that many, absence proves nothing."""
LATE = "nodes tell of a new image within a minute"
"""The kubelet lists images every 30 s and reports every 10 s, so one that was just loaded is there and not told yet."""


def _nodes(context: PreflightContext) -> list[Object] | None:
    return context.read_list("/api/v1/nodes", "nodes")


def capacity(context: PreflightContext) -> None:
    """Whether all requested replicas fit beside what runs, the release's own pods being replaced and not added."""
    listed, owners = _nodes(context), list(_resource_requests.pods(context.objects))
    if listed is None or not owners:
        return
    nodes, whole = nodes_of(listed), nodes_of(listed)
    running = context.read_list(
        "/api/v1/pods", "what runs on the nodes", fields="status.phase!=Succeeded,status.phase!=Failed"
    )
    occupy(nodes, running or [], lambda pod: any(_is_of(pod, owner) for owner in owners))
    growing = _grows(context) if running is not None else ""
    for owner in sorted(owners, key=lambda one: requests(one.spec).get("memory", Decimal(0)), reverse=True):
        able, why = suitable(owner.spec, nodes)
        if not able:
            context.add_problem(
                f"{owner.owner} cannot be scheduled: {why}", "change the pod's rules, or label or untaint a node"
            )
        elif not _largest(context, owner, suitable(owner.spec, whole)[0]):
            _room(context, owner, able, growing)


def _is_of(pod: Object, owner: Pods) -> bool:
    metadata = pod["metadata"]
    selected = owner.selector and owner.selector.items() <= (metadata.get("labels") or {}).items()
    named = owner.kind == "Pod" and metadata["name"] == owner.name
    return metadata.get("namespace") == owner.namespace and bool(selected or named)


def _largest(context: PreflightContext, owner: Pods, nodes: list[Node]) -> bool:
    """Whether one pod asks for more than any suitable node has in all."""
    found = False
    for resource, value in requests(owner.spec).items():
        most = max((node.free.get(resource, Decimal(0)) for node in nodes), default=Decimal(0))
        if value > most:
            found = True
            context.add_problem(
                f"a pod of {owner.owner} requests {resource} {show(value, resource)}, the largest node that it may "
                f"run on has {show(most, resource)}",
                "lower the request, or add a larger node",
            )
    return found


def _room(context: PreflightContext, owner: Pods, nodes: list[Node], growing: str) -> None:
    asked = {key: value for key, value in requests(owner.spec).items() if key != "pods" and value}
    free = ", ".join(
        f"{key} {show(sum((max(node.free.get(key, Decimal(0)), Decimal(0)) for node in nodes), Decimal(0)), key)}"
        for key in asked
    )
    fit = place(owner, nodes)
    if fit >= owner.replicas:
        return
    each = ", ".join(f"{key} {show(value, key)}" for key, value in asked.items()) or "a place"
    count = f"{len(nodes)} {'node' if len(nodes) == 1 else 'nodes'}"
    said = (
        f"{fit} of {owner.replicas} pods of {owner.owner} fit: each requests {each}; {count} have {free or 'none'} free"
    )
    if growing:
        context.add_note(f"{said}; {growing} may add nodes")
    else:
        context.add_problem(said, "lower the requests or the replicas, or add nodes")


def _grows(context: PreflightContext) -> str:
    """Who adds nodes when pods do not fit, empty when nobody is known to."""
    if context.served("karpenter.sh/v1", "NodePool"):
        return "Karpenter"
    try:
        status = context.cluster.find("/api/v1/namespaces/kube-system/configmaps/cluster-autoscaler-status")
    except ApiError:  # who may not look there cannot know
        return ""
    return "the cluster autoscaler" if status else ""


def images(context: PreflightContext) -> None:
    """Whether a registry serves an image is known to the node that pulls it only; what can be known is said."""
    unknown: dict[str, str] = {}
    for owner, item in _containers(context):
        image = str(item.get("image") or "")
        tag = image.rsplit("/", 1)[-1].partition("@")[0].partition(":")[2]
        if not image:
            context.add_problem(f"container {item.get('name')} of {owner.owner} names no image", "name one")
        elif tag == "latest" or (not tag and "@" not in image):
            context.add_problem(
                f"{owner.owner} uses image {image}, which changes under your feet", "name a version or a digest"
            )
        else:
            _on_nodes(context, owner, item, image, unknown)
    for image, where in unknown.items():
        context.add_note(f"image {image} is {where}: whether it can be pulled shows when a node does")


def _containers(context: PreflightContext) -> Iterator[tuple[Pods, Object]]:
    for owner in _resource_requests.pods(context.objects):
        for item in _resource_requests.containers(owner.spec):
            yield owner, item


def _on_nodes(context: PreflightContext, owner: Pods, item: Object, image: str, unknown: dict[str, str]) -> None:
    listed = _nodes(context)
    if listed is None:
        return
    able = {node.name for node in suitable(owner.spec, nodes_of(listed))[0]}
    nodes = [node for node in listed if node["metadata"]["name"] in able]
    having = [node for node in nodes if canonical(image) in _names(node)]
    complete = all(len((node.get("status") or {}).get("images") or []) < MOST_IMAGES for node in nodes)
    policy = item.get("imagePullPolicy", "IfNotPresent")
    if policy == "Never" and not having and nodes and complete:
        context.add_problem(
            f"{owner.owner} never pulls image {image}, and no node has it",
            "load it into the nodes, or let them pull: imagePullPolicy IfNotPresent; if it was just loaded, run again:"
            f" {LATE}",
        )
    elif policy == "Always" or len(having) < len(nodes):
        unknown[image] = f"on {len(having)} of {len(nodes)} nodes" if having else f"on no node yet ({LATE})"


def _names(node: Object) -> set[str]:
    listed = (node.get("status") or {}).get("images") or []
    return {canonical(name) for image in listed for name in image.get("names") or []}


def canonical(image: str) -> str:
    """The image's full name, as nodes give it: ``busybox:1`` is ``docker.io/library/busybox:1``."""
    first, slash, _rest = image.partition("/")
    if not slash:
        return f"docker.io/library/{image}"
    registry = "." in first or ":" in first or first == "localhost"
    return image if registry else f"docker.io/{image}"
