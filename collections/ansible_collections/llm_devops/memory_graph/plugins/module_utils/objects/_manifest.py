# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The objects of a release: references to them, and manifests made ready to apply. Pure; no I/O."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .._errors import ManifestError
from .._json import type_name
from ..kinds._waves import wave_of
from . import _manifest_checks, _server_owned
from ._yaml_documents import documents

Object = dict[str, Any]
MANAGED_BY = "app.kubernetes.io/managed-by"
PART_OF = "applyset.kubernetes.io/part-of"
MAX_ERRORS = 10
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

    @property
    def custom(self) -> bool:
        """Whether an operator's definition describes the object, and not Kubernetes itself."""
        return "." in self.group and not self.group.endswith(".k8s.io")


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


def prepared(
    objects: Any, release: str, namespace: str, *, warn: Callable[[str], object] | None = None
) -> list[Object]:
    """Copies of the manifests with namespace and release labels set, in their given order.

    A manifest comes as a mapping, as a ``List`` object, as YAML text of any number of documents, or in a list of these.
    ``stringData`` becomes ``data``: the API server drops it after writing, so nobody would own what it wrote.

    :param warn: is called with a sentence about each part of a manifest that has no effect.
    :raises ManifestError: naming every malformed or repeated object by its position.
    """
    result: list[Object] = []
    seen: dict[Ref, int] = {}
    errors: list[ManifestError] = []
    for position, source in enumerate(opened(objects), start=1):
        try:
            manifest = _ready(source, position, release, namespace, warn)
        except ManifestError as error:
            errors.append(error)
            continue
        first = seen.setdefault(ref(manifest), position)
        if first == position:
            result.append(manifest)
        else:
            message = f"objects {first} and {position} are both {ref(manifest)}"
            errors.append(ManifestError(message, "leave one of them out"))
    if errors:
        raise _joined(errors)
    return result


def _ready(source: Any, position: int, release: str, namespace: str, warn: Callable[[str], object] | None) -> Object:
    manifest = _manifest_checks.identity(source, position)
    _manifest_checks.content(manifest, position)
    warning = _server_owned.overwritten(manifest)
    if warning and warn:
        warn(warning)
    _server_owned.strip(manifest)
    wave_of(manifest)  # refuses an annotation that is no number
    metadata = manifest["metadata"]
    if manifest["kind"] in CLUSTER_SCOPED:
        metadata.pop("namespace", None)
    else:
        metadata["namespace"] = metadata.get("namespace") or namespace
    labels = metadata["labels"] = {MANAGED_BY: "llm-devops-memory-graph", **(metadata.get("labels") or {})}
    labels[PART_OF] = applyset_id(release, namespace)
    if manifest["kind"] == "Secret":
        _encode_secret(manifest)
    return manifest


def _joined(errors: list[ManifestError]) -> ManifestError:
    """Join the errors of several manifests: the first ones, and how many more there are."""
    if len(errors) == 1:
        return errors[0]
    messages = "; ".join(str(error) for error in errors[:MAX_ERRORS])
    more = f"; and {len(errors) - MAX_ERRORS} more" if len(errors) > MAX_ERRORS else ""
    return ManifestError(f"{len(errors)} objects are malformed: {messages}{more}", "nothing was sent")


def opened(item: Any) -> Iterator[Any]:
    """Each manifest of what a caller gives: texts are read, lists and ``List`` objects opened, empty ones left out.

    As in kubectl, whatever has ``items`` that are a list is a list, and its items are of its kind where they say none.
    """
    if isinstance(item, str):
        for document in documents(item):
            if isinstance(document, str):
                raise ManifestError(
                    "a text of objects holds a plain string where a manifest should be", "give manifests as YAML"
                )
            yield from opened(document)
    elif isinstance(item, list | tuple):
        for below in item:
            yield from opened(below)
    elif isinstance(item, Mapping) and _is_list(item):
        kind = str(item.get("kind") or "").removesuffix("List")
        named = {"apiVersion": item.get("apiVersion"), "kind": kind} if kind else {}
        for below in item["items"] or ():
            yield from opened({**named, **below} if isinstance(below, Mapping) and below else below)
    elif item is not None and item != {}:
        yield item


def _is_list(item: Mapping[str, Any]) -> bool:
    """Whether a mapping holds manifests instead of being one; null is an empty list.

    :raises ManifestError: when its kind says so, and its items do not.
    """
    items, kind = item.get("items"), str(item.get("kind") or "")
    if isinstance(items, list):
        return True
    if kind == "List" and items is not None:
        raise ManifestError(f"the items of a List are {type_name(items)}, not a list", "write them as one")
    return "items" in item and items is None and kind.endswith("List")


def _encode_secret(manifest: Object) -> None:
    plain = manifest.pop("stringData", None) or {}
    if plain:
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
        manifest["data"] = {**(manifest.get("data") or {}), **encoded}


def canonical(objects: Iterable[Mapping[str, Any]]) -> bytes:
    """One byte string for equal sets of manifests, whatever their order: what a revision's digest is taken of."""
    return serialized(sorted(objects, key=ref))


def serialized(value: Any) -> bytes:
    """One byte string for equal JSON values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode()
