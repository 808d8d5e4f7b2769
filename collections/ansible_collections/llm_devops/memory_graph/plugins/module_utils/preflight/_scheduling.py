# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Which nodes a pod may run on and how many pods fit, by the scheduler's hard rules. Pure.

Node selectors, required node affinity, taints, requests and the number of pods; not what depends on other pods
(affinity between pods, topology spread) nor on volumes: what is said not to fit does not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from .._json import at, mapping, mappings, text
from ..objects._manifest import Object
from ..objects._quantity import parse
from ..objects._resource_requests import Pods, of_pod


@dataclass
class Node:
    """A node and what is left of it; ``free`` by resource, ``pods`` among them."""

    name: str
    labels: dict[str, str]
    taints: list[dict[str, str]]
    free: dict[str, Decimal]


def nodes_of(listed: Iterable[Object]) -> list[Node]:
    """Nodes that take pods at all; a cordoned one has the taint that says so."""
    return [
        Node(
            item["metadata"]["name"],
            mapping(item, "metadata", "labels"),
            [one for one in mappings(item, "spec", "taints") if one.get("effect") != "PreferNoSchedule"],
            {key: parse(value) for key, value in mapping(item, "status", "allocatable").items()},
        )
        for item in listed
        if not at(item, "spec", "unschedulable")
    ]


def occupy(nodes: list[Node], running: Iterable[Object], spared: Callable[[Object], bool]) -> None:
    """Take off what runs already, except finished pods and those ``spared``, which the release will replace."""
    by_name = {node.name: node for node in nodes}
    for pod in running:
        node = by_name.get(text(pod, "spec", "nodeName"))
        if node and text(pod, "status", "phase") not in ("Succeeded", "Failed") and not spared(pod):
            _take(node, requests(pod["spec"]))


def requests(spec: Object) -> dict[str, Decimal]:
    """What one pod takes of a node."""
    asked = {key.partition(".")[2]: value for key, value in of_pod(spec).items() if key.startswith("requests.")}
    return {**asked, "pods": Decimal(1)}


def suitable(spec: Object, nodes: Iterable[Node]) -> tuple[list[Node], str]:
    """Nodes whose labels and taints allow the pod; when there are none, which rule shut out the last."""
    left, why = list(nodes), "the cluster has no node that takes pods"
    rules: list[tuple[str, Callable[[Node], bool]]] = [
        (f"node {spec['nodeName']}" if spec.get("nodeName") else "", lambda node: node.name == spec["nodeName"]),
        (_selector_text(spec), lambda node: (spec.get("nodeSelector") or {}).items() <= node.labels.items()),
        ("its required node affinity" if _terms(spec) else "", lambda node: _affine(_terms(spec), node)),
    ]
    for said, rule in rules:
        if said and left:
            left, why = [node for node in left if rule(node)], f"no node matches {said}"
    if left:
        open_to = [node for node in left if all(_tolerated(taint, spec) for taint in node.taints)]
        taints = sorted({_taint_text(taint) for node in left for taint in node.taints if not _tolerated(taint, spec)})
        left, why = open_to, f"it does not tolerate {', '.join(taints)}"
    return left, "" if left else why


def place(owner: Pods, nodes: list[Node]) -> int:
    """How many of the owner's pods fit; what they take is taken. The emptiest node first, as the scheduler spreads."""
    asked, placed = requests(owner.spec), 0
    for _replica in range(owner.replicas):
        fitting = [node for node in nodes if _fits(node, asked)]
        if not fitting:
            return placed
        _take(max(fitting, key=lambda node: node.free.get("memory", Decimal(0))), asked)
        placed += 1
    return placed


def _fits(node: Node, asked: dict[str, Decimal]) -> bool:
    return all(value <= node.free.get(key, Decimal(0)) for key, value in asked.items() if value)


def _take(node: Node, asked: dict[str, Decimal]) -> None:
    for key, value in asked.items():
        node.free[key] = node.free.get(key, Decimal(0)) - value


def _terms(spec: Object) -> list[dict[str, Any]]:
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    return list(required.get("nodeSelectorTerms") or [])


def _affine(terms: list[dict[str, Any]], node: Node) -> bool:
    fields = {"metadata.name": node.name}
    return any(
        all(_expression(one, node.labels) for one in term.get("matchExpressions") or [])
        and all(_expression(one, fields) for one in term.get("matchFields") or [])
        for term in terms
        if term.get("matchExpressions") or term.get("matchFields")  # an empty term matches nothing
    )


def _expression(one: dict[str, Any], labels: dict[str, str]) -> bool:
    value, values = labels.get(one["key"]), [str(item) for item in one.get("values") or []]
    match one["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return value is not None and value.isdigit() and int(value) > int(values[0])
        case "Lt":
            return value is not None and value.isdigit() and int(value) < int(values[0])
    return True


def _tolerated(taint: dict[str, str], spec: Object) -> bool:
    return any(
        one.get("effect") in (None, "", taint["effect"])
        and (one.get("key") in (None, "") or one["key"] == taint["key"])
        and (one.get("operator") == "Exists" or (one.get("value") or "") == (taint.get("value") or ""))
        for one in spec.get("tolerations") or []
    )


def _selector_text(spec: Object) -> str:
    selector = spec.get("nodeSelector") or {}
    return (
        f"its node selector {', '.join(f'{key}={value}' for key, value in sorted(selector.items()))}"
        if selector
        else ""
    )


def _taint_text(taint: dict[str, str]) -> str:
    value = f"={taint['value']}" if taint.get("value") else ""
    return f"{taint['key']}{value}:{taint['effect']}"
