# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Preflight: whether there is a node for the pods of each workload, and which nodes have the images already."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from .._errors import ApiError
from ..objects import _resource_requests
from ..objects._manifest import Object
from ..objects._quantity import show
from ..objects._resource_requests import Pods
from ._context import PreflightContext
from ._scheduling import nodes_of, requests, suitable

MAX_IMAGES = 50
"""The kubelet names no more images of a node (nodeStatusMaxImages): with that many, absence proves nothing."""
LATE = "nodes tell of a new image within a minute"
"""The kubelet lists images every 30 s and reports every 10 s, so one that was just loaded is there and not told yet."""


def _nodes(context: PreflightContext) -> list[Object] | None:
    return context.read_list("/api/v1/nodes", "nodes")


def capacity(context: PreflightContext) -> None:
    """Whether some node may take a pod of each workload, by the pod's rules and by what a node has in all.

    Room beside the pods that run is the scheduler's to find: it changes, and it may evict pods to make some.
    """
    listed, owners = _nodes(context), list(_resource_requests.pods(context.objects))
    if listed is None:
        return
    nodes = nodes_of(listed)
    for owner in owners:
        able, reason = suitable(owner.spec, nodes)
        if reason:
            way_out = "change the pod's rules, or label or untaint a node"
            _report(context, f"{owner.owner} cannot be scheduled: {reason}", way_out)
        for resource, value in requests(owner.spec).items() if able else ():
            largest = max(node.allocatable.get(resource, Decimal(0)) for node in able)
            if value > largest:
                sentence = f"a pod of {owner.owner} requests {resource} {show(value, resource)}, the largest node that"
                _report(
                    context,
                    f"{sentence} it may run on has {show(largest, resource)}",
                    "lower the request, or add a larger node",
                )


def _report(context: PreflightContext, sentence: str, way_out: str) -> None:
    """A problem, unless somebody adds nodes as pods need them."""
    autoscaler = _autoscaler(context)
    if autoscaler:
        context.add_note(f"{sentence}; {autoscaler} may add one")
    else:
        context.add_problem(sentence, way_out)


def _autoscaler(context: PreflightContext) -> str:
    """The controller that adds nodes when pods do not fit; empty when none is known."""
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
    complete = all(len((node.get("status") or {}).get("images") or []) < MAX_IMAGES for node in nodes)
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
