# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The resources that the objects of a release request of a namespace: pods, CPU, memory, claims. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from .._json import integer, mapping, mappings, text
from ._manifest import Object
from ._quantity import parse

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod", "ReplicaSet")
COMPUTE = ("cpu", "memory", "ephemeral-storage")


@dataclass(frozen=True)
class Pods:
    """The pods of one workload. A DaemonSet's number is its nodes', here 0.

    ``metadata`` is the template's, ``claims`` are the names of a StatefulSet's claim templates. ``surge`` more pods
    must run for a moment when a rolling update may not take one away first.
    """

    owner: str
    namespace: str
    replicas: int
    spec: Object
    metadata: Object
    surge: int = 0
    claims: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        return self.owner.partition("/")[0]

    @property
    def name(self) -> str:
        return self.owner.partition("/")[2]


def pods(objects: Iterable[Object]) -> Iterator[Pods]:
    """Per workload its pod template and how many of them: a CronJob counts once, what is autoscaled its least."""
    objects = list(objects)
    least = autoscaled(objects)
    for item in objects:
        kind, spec = item["kind"], item.get("spec") or {}
        template = {"spec": spec, "metadata": item["metadata"]} if kind == "Pod" else spec.get("template")
        if kind == "CronJob":
            template = ((spec.get("jobTemplate") or {}).get("spec") or {}).get("template")
        if kind not in WORKLOADS or not template:
            continue
        name, namespace = item["metadata"]["name"], item["metadata"].get("namespace", "")
        count = max(_count(kind, spec), least.get((namespace, kind, name), 0))
        claim_names = tuple(text(claim, "metadata", "name") for claim in mappings(spec, "volumeClaimTemplates"))
        yield Pods(
            f"{kind}/{name}", namespace, count, template.get("spec") or {}, template.get("metadata") or {},
            _surge(kind, spec, count), claim_names,
        )  # fmt: skip


def autoscaled(objects: Iterable[Object]) -> dict[tuple[str, str, str], int]:
    """The least replicas an autoscaler keeps, by ``(namespace, kind, name)`` of what it scales."""
    least_replicas = {}
    for item in (item for item in objects if item["kind"] == "HorizontalPodAutoscaler"):
        target = mapping(item, "spec", "scaleTargetRef")
        target_key = (text(item, "metadata", "namespace"), text(target, "kind"), text(target, "name"))
        least_replicas[target_key] = integer(item, "spec", "minReplicas", default=1)
    return least_replicas


def _count(kind: str, spec: Object) -> int:
    if kind == "DaemonSet":
        return 0
    count = spec.get("parallelism") if kind == "Job" else spec.get("replicas")
    return 1 if count is None else int(count)


def _surge(kind: str, spec: Object, count: int) -> int:
    """Pods a Deployment must start beyond its number before it may stop one: 1 unless it may go below, too."""
    strategy = spec.get("strategy") or {}
    if kind != "Deployment" or strategy.get("type") == "Recreate" or not count:
        return 0
    allowed = (strategy.get("rollingUpdate") or {}).get("maxUnavailable", "25%")
    text = str(allowed)
    below = count * int(text.removesuffix("%")) // 100 if text.endswith("%") else int(text)
    return 0 if below else 1


def containers(spec: Object) -> list[Object]:
    return [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]


def claims(objects: Iterable[Object]) -> Iterator[tuple[str, Object, int]]:
    """``(name, spec, count)`` of every claim, also those a StatefulSet makes for each of its pods."""
    for item in objects:
        if item["kind"] == "PersistentVolumeClaim":
            yield item["metadata"]["name"], item["spec"], 1
        if item["kind"] == "StatefulSet":
            for claim in item["spec"].get("volumeClaimTemplates") or []:
                yield claim["metadata"]["name"], claim["spec"], _count("StatefulSet", item["spec"])


def of_pod(spec: Object, defaults: Mapping[str, Mapping[str, str]] | None = None) -> dict[str, Decimal]:
    """``requests.cpu``, ``limits.memory`` … of one pod as the scheduler counts it: the containers' sum with the
    sidecars' (init containers that restart), or the largest other init container where that is more, and the
    RuntimeClass's overhead. ``defaults`` are a LimitRange's ``defaultRequest`` and ``default``."""
    total: dict[str, Decimal] = {}
    inits = spec.get("initContainers") or []
    sidecars = [item for item in inits if item.get("restartPolicy") == "Always"]
    for item in [*(spec.get("containers") or []), *sidecars]:
        for key, value in of_container(item, defaults).items():
            total[key] = total.get(key, Decimal(0)) + value
    for item in (init for init in inits if init not in sidecars):
        for key, value in of_container(item, defaults).items():
            total[key] = max(total.get(key, Decimal(0)), value)
    for name, quantity in (spec.get("overhead") or {}).items():
        for key in (f"requests.{name}", f"limits.{name}"):
            if key in total:
                total[key] += parse(quantity)
    return total


def of_container(item: Object, defaults: Mapping[str, Mapping[str, str]] | None = None) -> dict[str, Decimal]:
    resources, defaults = item.get("resources") or {}, defaults or {}
    limits = {**(defaults.get("default") or {}), **(resources.get("limits") or {})}
    stated = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}  # a limit is a request, too
    requests = {**(defaults.get("defaultRequest") or {}), **stated}
    amounts = {f"requests.{name}": parse(value) for name, value in requests.items()}
    return amounts | {f"limits.{name}": parse(value) for name, value in limits.items()}


def total(objects: Iterable[Object], namespace: str, defaults: Mapping[str, Mapping[str, str]],
          surging: frozenset[str] = frozenset()) -> dict[str, Decimal]:  # fmt: skip
    """Everything a ResourceQuota may count that the objects will use in ``namespace``.

    ``surging`` are the owners that exist already, whose update needs its surge as well.
    """
    local = [item for item in objects if item["metadata"].get("namespace") == namespace]
    used: dict[str, Decimal] = {"pods": Decimal(0)}

    def add(key: str, value: Decimal | int) -> None:
        used[key] = used.get(key, Decimal(0)) + value

    for owner in pods(local):
        count = owner.replicas + (owner.surge if owner.owner in surging else 0)
        add("pods", count)
        for key, value in of_pod(owner.spec, defaults).items():
            add(key, value * count)
    for short in COMPUTE:
        if f"requests.{short}" in used:
            used[short] = used[f"requests.{short}"]
    for _name, spec, count in claims(local):
        storage = parse(((spec.get("resources") or {}).get("requests") or {}).get("storage", "0")) * count
        add("persistentvolumeclaims", count)
        add("requests.storage", storage)
        if spec.get("storageClassName"):
            of_class = f"{spec['storageClassName']}.storageclass.storage.k8s.io"
            add(f"{of_class}/persistentvolumeclaims", count)
            add(f"{of_class}/requests.storage", storage)
    for item in local:
        _add_object(item, add)
    return used


def _add_object(item: Object, add: Any) -> None:
    spec = item.get("spec") or {}
    if item["kind"] in ("Service", "Secret", "ConfigMap"):
        add({"Service": "services", "Secret": "secrets", "ConfigMap": "configmaps"}[item["kind"]], 1)
    if item["kind"] == "Service" and spec.get("type") in ("LoadBalancer", "NodePort"):
        ports = len(spec.get("ports") or []) if spec.get("allocateLoadBalancerNodePorts", True) else 0
        add("services.nodeports", ports)
        if spec["type"] == "LoadBalancer":
            add("services.loadbalancers", 1)
