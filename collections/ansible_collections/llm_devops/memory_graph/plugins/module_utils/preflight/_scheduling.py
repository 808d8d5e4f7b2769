# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The nodes that a pod may run on, by the scheduler's hard rules. Pure.

Node selectors, required node affinity, taints and requests; not other pods, nor volumes. A pod without such a node
cannot be scheduled, one that has some may be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from .._json import at, mapping, mappings
from ..objects._manifest import Object
from ..objects._quantity import parse
from ..objects._resource_requests import of_pod


@dataclass
class SchedulableNode:
    """A node that takes pods, with the resources it has for all of them."""

    name: str
    labels: dict[str, str]
    taints: list[dict[str, str]]
    allocatable: dict[str, Decimal]


def nodes_of(listed: Iterable[Object]) -> list[SchedulableNode]:
    """Nodes that take pods at all; a cordoned one has the taint that says so."""
    return [
        SchedulableNode(
            item["metadata"]["name"],
            mapping(item, "metadata", "labels"),
            [taint for taint in mappings(item, "spec", "taints") if taint.get("effect") != "PreferNoSchedule"],
            {key: parse(value) for key, value in mapping(item, "status", "allocatable").items()},
        )
        for item in listed
        if not at(item, "spec", "unschedulable")
    ]


def requests(spec: Object) -> dict[str, Decimal]:
    """The resources that one pod requests of a node."""
    return {key.partition(".")[2]: value for key, value in of_pod(spec).items() if key.startswith("requests.")}


def suitable(spec: Object, nodes: Iterable[SchedulableNode]) -> tuple[list[SchedulableNode], str]:
    """Nodes whose labels and taints allow the pod; when there are none, which rule shut out the last."""
    matching, reason = list(nodes), "the cluster has no node that takes pods"
    rules: list[tuple[str, Callable[[SchedulableNode], bool]]] = [
        (f"node {spec['nodeName']}" if spec.get("nodeName") else "", lambda node: node.name == spec["nodeName"]),
        (_selector_text(spec), lambda node: (spec.get("nodeSelector") or {}).items() <= node.labels.items()),
        ("its required node affinity" if _terms(spec) else "", lambda node: _affine(_terms(spec), node)),
    ]
    for rule_text, rule in rules:
        if rule_text and matching:
            matching, reason = [node for node in matching if rule(node)], f"no node matches {rule_text}"
    if matching:
        open_to = [node for node in matching if all(_tolerated(taint, spec) for taint in node.taints)]
        taints = sorted(
            {_taint_text(taint) for node in matching for taint in node.taints if not _tolerated(taint, spec)}
        )
        matching, reason = open_to, f"it does not tolerate {', '.join(taints)}"
    return matching, "" if matching else reason


def _terms(spec: Object) -> list[dict[str, Any]]:
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    return list(required.get("nodeSelectorTerms") or [])


def _affine(terms: list[dict[str, Any]], node: SchedulableNode) -> bool:
    fields = {"metadata.name": node.name}
    return any(
        all(_expression(expression, node.labels) for expression in term.get("matchExpressions") or [])
        and all(_expression(expression, fields) for expression in term.get("matchFields") or [])
        for term in terms
        if term.get("matchExpressions") or term.get("matchFields")  # an empty term matches nothing
    )


def _expression(expression: dict[str, Any], labels: dict[str, str]) -> bool:
    value, values = labels.get(expression["key"]), [str(item) for item in expression.get("values") or []]
    match expression["operator"]:
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
        toleration.get("effect") in (None, "", taint["effect"])
        and (toleration.get("key") in (None, "") or toleration["key"] == taint["key"])
        and (toleration.get("operator") == "Exists" or (toleration.get("value") or "") == (taint.get("value") or ""))
        for toleration in spec.get("tolerations") or []
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
