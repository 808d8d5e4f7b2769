# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The objects that a release names and cannot start without. Pure."""

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
    """Return the objects that the release names and neither creates nor lets a controller make."""
    created = {
        (item["kind"], "" if item["kind"] in CLUSTER_SCOPED else item["metadata"].get("namespace", ""),
         item["metadata"]["name"])
        for item in objects
    }  # fmt: skip
    created |= {
        ("Secret", item["metadata"].get("namespace", ""), secret)
        for item in objects
        for secret in _controller_secrets(item)
    }
    keys_by_reference: dict[Reference, set[str]] = {}
    for reference in _all(objects):
        if (reference.kind, reference.namespace, reference.name) not in created:
            keys_by_reference.setdefault(replace(reference, keys=()), set()).update(reference.keys)
    return sorted(replace(reference, keys=tuple(sorted(keys))) for reference, keys in keys_by_reference.items())


def secrets_of(spec: Object) -> dict[str, tuple[str, ...]]:
    """The Secrets that pods with this spec read, and the keys of each that they ask for; none stands for all."""
    keys_by_name: dict[str, list[tuple[str, ...]]] = {}
    for kind, name, keys in _of_pod(spec):
        if kind == "Secret":
            keys_by_name.setdefault(name, []).append(keys)
    return {
        name: tuple(sorted({key for keys in several for key in keys})) if all(several) else ()
        for name, several in keys_by_name.items()
    }


def _controller_secrets(item: Object) -> Iterator[str]:
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
    yield from _named_object(spec, "priorityClassName", "PriorityClass")
    yield from _named_object(spec, "runtimeClassName", "RuntimeClass")
    if spec.get("serviceAccountName", "default") != "default":  # every namespace has that one
        yield from _named_object(spec, "serviceAccountName", "ServiceAccount")
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


def _named_object(holder: Object, key: str, kind: str) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    if holder.get(key):
        yield kind, str(holder[key]), ()


def _named(holder: Object, forms: Iterable[tuple[str, str, str]]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for field, kind, key in forms:
        source: Any = holder.get(field)
        if source and source.get(key) and not source.get("optional"):
            items = [source, *(source.get("items") or [])]  # a variable's one key, or those a volume has files of
            yield kind, str(source[key]), tuple(str(item["key"]) for item in items if item.get("key"))
