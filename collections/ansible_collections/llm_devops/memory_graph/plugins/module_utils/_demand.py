# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""What the objects of a release will ask of a namespace: pods, CPU, memory, claims, secrets. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ._manifest import Object
from ._quantity import parse


@dataclass(frozen=True)
class Pods:
    """The pods one workload wants; ``surge`` more may run during a rolling update."""

    owner: str
    namespace: str
    replicas: int
    spec: Object
    labels: dict[str, str]


def pods(objects: Iterable[Object]) -> Iterator[Pods]:
    """Per workload its pod template and how many of them; a CronJob counts once."""
    for item in objects:
        kind, spec = item["kind"], item.get("spec") or {}
        template = {"spec": spec, "metadata": item["metadata"]} if kind == "Pod" else spec.get("template")
        if kind == "CronJob":
            template = ((spec.get("jobTemplate") or {}).get("spec") or {}).get("template")
        if (
            kind not in ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod", "ReplicaSet")
            or not template
        ):
            continue
        count = spec.get("parallelism", 1) if kind == "Job" else spec.get("replicas", 1)
        labels = (template.get("metadata") or {}).get("labels") or {}
        yield Pods(f"{kind}/{item['metadata']['name']}", item["metadata"].get("namespace", ""), int(count),
                   template.get("spec") or {}, labels)  # fmt: skip


def containers(spec: Object) -> list[Object]:
    return [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]


def of_pod(spec: Object, defaults: dict[str, dict[str, str]] | None = None) -> dict[str, Decimal]:
    """``requests.cpu``, ``limits.memory`` … of one pod as the scheduler counts it: the containers' sum, or the largest
    init container where that is more. ``defaults`` are a LimitRange's ``defaultRequest`` and ``default``."""
    total: dict[str, Decimal] = {}
    for item in spec.get("containers") or []:
        for key, value in of_container(item, defaults).items():
            total[key] = total.get(key, Decimal(0)) + value
    for item in spec.get("initContainers") or []:
        for key, value in of_container(item, defaults).items():
            total[key] = max(total.get(key, Decimal(0)), value)
    return total


def of_container(item: Object, defaults: dict[str, dict[str, str]] | None = None) -> dict[str, Decimal]:
    resources, defaults = item.get("resources") or {}, defaults or {}
    limits = {**(defaults.get("default") or {}), **(resources.get("limits") or {})}
    own = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}  # a limit alone is also the request
    requests = {**(defaults.get("defaultRequest") or {}), **own}
    found = {f"requests.{name}": parse(value) for name, value in requests.items()}
    return found | {f"limits.{name}": parse(value) for name, value in limits.items()}


def total(objects: list[Object], namespace: str, defaults: dict[str, dict[str, str]]) -> dict[str, Decimal]:
    """Everything a ResourceQuota may count that the objects will use in ``namespace``."""
    used: dict[str, Decimal] = {"pods": Decimal(0)}
    for owner in (one for one in pods(objects) if one.namespace == namespace):
        used["pods"] += owner.replicas
        for key, value in of_pod(owner.spec, defaults).items():
            used[key] = used.get(key, Decimal(0)) + value * owner.replicas
    for short, long in (("cpu", "requests.cpu"), ("memory", "requests.memory")):
        if long in used:
            used[short] = used[long]
    for item in (one for one in objects if one["metadata"].get("namespace") == namespace):
        if item["kind"] == "PersistentVolumeClaim":
            used["persistentvolumeclaims"] = used.get("persistentvolumeclaims", Decimal(0)) + 1
            storage = ((item["spec"].get("resources") or {}).get("requests") or {}).get("storage", "0")
            used["requests.storage"] = used.get("requests.storage", Decimal(0)) + parse(storage)
        if item["kind"] == "Service" and item["spec"].get("type") == "LoadBalancer":
            used["services.loadbalancers"] = used.get("services.loadbalancers", Decimal(0)) + 1
    return used


def referenced(objects: Iterable[Object]) -> Iterator[tuple[str, str, str, str]]:
    """``(owner, namespace, kind, name)`` of every Secret and ConfigMap a pod cannot start without."""
    for owner in pods(objects):
        for kind, name in _needs(owner.spec):
            yield owner.owner, owner.namespace, kind, name


def _needs(spec: Object) -> Iterator[tuple[str, str]]:
    for item in containers(spec):
        for source in item.get("envFrom") or []:
            yield from _named(source, (("secretRef", "Secret", "name"), ("configMapRef", "ConfigMap", "name")))
        for variable in item.get("env") or []:
            origin = variable.get("valueFrom") or {}
            yield from _named(origin, (("secretKeyRef", "Secret", "name"), ("configMapKeyRef", "ConfigMap", "name")))
    for volume in spec.get("volumes") or []:
        yield from _named(volume, (("secret", "Secret", "secretName"), ("configMap", "ConfigMap", "name")))
        for source in (volume.get("projected") or {}).get("sources") or []:
            yield from _named(source, (("secret", "Secret", "name"), ("configMap", "ConfigMap", "name")))


def _named(holder: Object, forms: Iterable[tuple[str, str, str]]) -> Iterator[tuple[str, str]]:
    for field, kind, key in forms:
        found: Any = holder.get(field)
        if found and found.get(key) and not found.get("optional"):
            yield kind, str(found[key])
