# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""What a release is made of: references to objects, and manifests made ready to apply. Pure; no I/O."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ._errors import ManifestError
from ._kubeconfig import yaml

Object = dict[str, Any]
MANAGED_BY = "app.kubernetes.io/managed-by"
PART_OF = "applyset.kubernetes.io/part-of"
NEVER_SENT = ("managedFields", "resourceVersion", "uid", "creationTimestamp", "generation", "selfLink")
# Only to place a manifest whose kind is not served yet, or to sort: discovery is the authority on scope.
CLUSTER_SCOPED = frozenset(
    {
        "Namespace",
        "CustomResourceDefinition",
        "ClusterRole",
        "ClusterRoleBinding",
        "PersistentVolume",
        "StorageClass",
        "PriorityClass",
        "IngressClass",
        "APIService",
    }
)


@dataclass(frozen=True, order=True)
class Ref:
    """The identity of an object within a cluster; the version is not part of it, the group is."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


def ref(manifest: Mapping[str, Any]) -> Ref:
    metadata = manifest["metadata"]
    group = str(manifest["apiVersion"]).rpartition("/")[0]
    return Ref(group, str(manifest["kind"]), str(metadata.get("namespace") or ""), str(metadata["name"]))


def applyset_id(name: str, namespace: str) -> str:
    """The ApplySet id of a release, whose parent is its Secret (KEP-3659)."""
    digest = hashlib.sha256(f"{record_name(name)}.{namespace}.Secret.".encode()).digest()
    return f"applyset-{base64.urlsafe_b64encode(digest).decode().rstrip('=')}-v1"


def record_name(release: str) -> str:
    return f"{release}-release"


def prepared(objects: Any, release: str, namespace: str) -> list[Object]:
    """Copies of the manifests with namespace and release labels set, in their given order.

    A manifest comes as a mapping, as a ``List`` object, as YAML text of any number of documents, or in a list of these.
    ``stringData`` becomes ``data``: the API server drops it after writing, so nobody would own what it wrote.

    :raises ManifestError: naming the position of the first malformed or repeated object.
    """
    result: list[Object] = []
    seen: dict[Ref, int] = {}
    for position, given in enumerate(_opened(objects), start=1):
        manifest = copy.deepcopy(_checked(given, position))
        metadata = manifest["metadata"]
        for key in NEVER_SENT:
            metadata.pop(key, None)
        manifest.pop("status", None)
        if manifest["kind"] in CLUSTER_SCOPED:
            metadata.pop("namespace", None)
        else:
            metadata.setdefault("namespace", namespace)
        labels = metadata["labels"] = {MANAGED_BY: "llm-devops-memory-graph", **(metadata.get("labels") or {})}
        labels[PART_OF] = applyset_id(release, namespace)
        if manifest["kind"] == "Secret":
            _encode_secret(manifest, position)
        identity = ref(manifest)
        if identity in seen:
            raise ManifestError(f"objects {seen[identity]} and {position} are both {identity}", "leave one of them out")
        seen[identity] = position
        result.append(manifest)
    return result


def _opened(item: Any) -> Iterator[Any]:
    if isinstance(item, str):
        yield from _opened(_documents(item))
    elif isinstance(item, list | tuple):
        for below in item:
            yield from _opened(below)
    elif isinstance(item, Mapping) and item.get("kind") == "List" and isinstance(item.get("items"), list):
        yield from _opened(item["items"])
    elif item is not None and item != {}:
        yield item


def _documents(text: str) -> list[Any]:
    try:
        found = list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except yaml.YAMLError as error:  # without its snippet, which may show a secret
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ManifestError(f"a text of objects is not YAML: {where}{getattr(error, 'problem', '')}") from error
    if any(isinstance(item, str) for item in found):
        raise ManifestError(
            "a text of objects holds a plain string where a manifest should be", "give manifests as YAML"
        )
    return found


def _checked(manifest: Any, position: int) -> dict[str, Any]:
    if not isinstance(manifest, Mapping):
        raise ManifestError(f"object {position} is a {type(manifest).__name__}, not a mapping")
    for key in ("apiVersion", "kind"):
        if not isinstance(manifest.get(key), str) or not manifest[key]:
            raise ManifestError(f"object {position} has no {key}")
    metadata = manifest.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    if not isinstance(name, str) or not name:
        raise ManifestError(f"object {position}, a {manifest['kind']}, has no metadata.name")
    return dict(manifest)


def _encode_secret(manifest: Object, position: int) -> None:
    plain = manifest.pop("stringData", None) or {}
    if not plain:
        return
    for key, value in plain.items():
        if not isinstance(value, str):
            raise ManifestError(f"object {position}, {ref(manifest)}: stringData.{key} is not a string", "quote it")
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
    manifest["data"] = {**(manifest.get("data") or {}), **encoded}


def canonical(objects: Iterable[Mapping[str, Any]]) -> bytes:
    """One byte string for equal sets of manifests, whatever their order: what a revision's digest is taken of."""
    return serialized(sorted(objects, key=ref))


def serialized(value: Any) -> bytes:
    """One byte string for equal JSON values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode()
