# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""What the objects of a release name and cannot start without. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from ._manifest import Object
from ._resource_requests import containers, pods

CLUSTER_SCOPED = {
    "IngressClass": ("networking.k8s.io/v1", "ingressclasses"),
    "PriorityClass": ("scheduling.k8s.io/v1", "priorityclasses"),
    "RuntimeClass": ("node.k8s.io/v1", "runtimeclasses"),
}


@dataclass(frozen=True, order=True)
class Reference:
    """``owner`` needs ``kind`` ``name``; ``namespace`` is empty for what lives at cluster scope.

    Without what is not ``vital`` the pods may start nevertheless. ``keys`` are those of its data that are asked for.
    """

    owner: str
    namespace: str
    kind: str
    name: str
    vital: bool = True
    keys: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        return CLUSTER_SCOPED[self.kind][0].partition("/")[0] if self.kind in CLUSTER_SCOPED else ""

    @property
    def plural(self) -> str:
        return CLUSTER_SCOPED[self.kind][1] if self.kind in CLUSTER_SCOPED else f"{self.kind.lower()}s"

    @property
    def path(self) -> str:
        if self.kind in CLUSTER_SCOPED:
            return f"/apis/{CLUSTER_SCOPED[self.kind][0]}/{self.plural}/{self.name}"
        return f"/api/v1/namespaces/{self.namespace}/{self.plural}/{self.name}"


def outside(objects: list[Object]) -> list[Reference]:
    """What the release names and does not bring, nor lets a controller make."""
    brought = {
        (item["kind"], "" if item["kind"] in CLUSTER_SCOPED else item["metadata"].get("namespace", ""),
         item["metadata"]["name"])
        for item in objects
    }  # fmt: skip
    brought |= {("Secret", item["metadata"].get("namespace", ""), made) for item in objects for made in _made(item)}
    found: dict[Reference, set[str]] = {}
    for one in _all(objects):
        if (one.kind, one.namespace, one.name) not in brought:
            found.setdefault(replace(one, keys=()), set()).update(one.keys)
    return sorted(replace(one, keys=tuple(sorted(keys))) for one, keys in found.items())


def secrets_of(spec: Object) -> dict[str, tuple[str, ...]]:
    """The Secrets that pods with this spec read, and the keys of each that they ask for; none stands for all."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for kind, name, keys in _of_pod(spec):
        if kind == "Secret":
            found.setdefault(name, []).append(keys)
    return {
        name: tuple(sorted({key for keys in several for key in keys})) if all(several) else ()
        for name, several in found.items()
    }


def _made(item: Object) -> Iterator[str]:
    """Names of the Secrets a controller makes of ``item``."""
    spec = item.get("spec") or {}
    if item["kind"] == "ExternalSecret":
        yield (spec.get("target") or {}).get("name") or item["metadata"]["name"]
    if item["kind"] == "SealedSecret":
        yield item["metadata"]["name"]
    if item["kind"] == "Certificate" and spec.get("secretName"):
        yield spec["secretName"]


def _all(objects: Iterable[Object]) -> Iterator[Reference]:
    objects = list(objects)
    for owner in pods(objects):
        for kind, name, keys in _of_pod(owner.spec):
            yield Reference(owner.owner, "" if kind in CLUSTER_SCOPED else owner.namespace, kind, name, keys=keys)
        for item in owner.spec.get("imagePullSecrets") or []:  # an image that needs none is pulled without
            yield Reference(owner.owner, owner.namespace, "Secret", str(item["name"]), vital=False)
    for item in objects:
        if item["kind"] == "Ingress" and item["spec"].get("ingressClassName"):
            yield Reference(f"Ingress/{item['metadata']['name']}", "", "IngressClass", item["spec"]["ingressClassName"])


def _of_pod(spec: Object) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    yield from _one(spec, "priorityClassName", "PriorityClass")
    yield from _one(spec, "runtimeClassName", "RuntimeClass")
    if spec.get("serviceAccountName", "default") != "default":  # every namespace has that one
        yield from _one(spec, "serviceAccountName", "ServiceAccount")
    for item in containers(spec):
        for source in item.get("envFrom") or []:
            yield from _named(source, (("secretRef", "Secret", "name"), ("configMapRef", "ConfigMap", "name")))
        for variable in item.get("env") or []:
            origin = variable.get("valueFrom") or {}
            yield from _named(origin, (("secretKeyRef", "Secret", "name"), ("configMapKeyRef", "ConfigMap", "name")))
    for volume in spec.get("volumes") or []:
        forms = (("secret", "Secret", "secretName"), ("configMap", "ConfigMap", "name"),
                 ("persistentVolumeClaim", "PersistentVolumeClaim", "claimName"))  # fmt: skip
        yield from _named(volume, forms)
        for source in (volume.get("projected") or {}).get("sources") or []:
            yield from _named(source, (("secret", "Secret", "name"), ("configMap", "ConfigMap", "name")))


def _one(holder: Object, key: str, kind: str) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    if holder.get(key):
        yield kind, str(holder[key]), ()


def _named(holder: Object, forms: Iterable[tuple[str, str, str]]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for field, kind, key in forms:
        found: Any = holder.get(field)
        if found and found.get(key) and not found.get("optional"):
            asked = [found, *(found.get("items") or [])]  # a variable's one key, or those a volume has files of
            yield kind, str(found[key]), tuple(str(one["key"]) for one in asked if one.get("key"))
