# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Which collections are watched while objects are awaited. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._json import at
from ..cluster._discovery import Resource
from ..objects._manifest import Object, Ref
from ._pods import claims_of, is_workload, pod_specs

Collection = tuple[str, str, str]
"""Group, kind and namespace."""
_REASONS: Collection = ("", "", "")
"""A watch that explains and shows nothing that is awaited."""


def collection(ref: Ref) -> Collection:
    return ref.group, ref.kind, ref.namespace


def watched(
    live: Mapping[Ref, Object], resources: Mapping[Ref, Resource]
) -> list[tuple[str, dict[str, Any], Collection]]:
    """Path, query and collection of each watch: those of the objects themselves, and those that explain their state."""
    found: dict[tuple[str, str], tuple[dict[str, Any], Collection]] = {}

    def add(path: str, shows: Collection, selector: str = "") -> None:
        found.setdefault((path, shows[1] or selector), ({"fieldSelector": selector} if selector else {}, shows))

    for namespace in sorted({ref.namespace for ref in live} - {""}):
        here = {ref: obj for ref, obj in live.items() if ref.namespace == namespace}
        root, kinds = f"/api/v1/namespaces/{namespace}", {(ref.group, ref.kind) for ref in here}
        add(f"{root}/events", _REASONS, "type=Warning")
        if any(is_workload(obj) for obj in here.values()):
            add(f"{root}/pods", ("", "Pod", namespace))
        if kinds & {("apps", "Deployment"), ("apps", "ReplicaSet")}:
            add(f"/apis/apps/v1/namespaces/{namespace}/replicasets", ("apps", "ReplicaSet", namespace))
        if ("", "PersistentVolumeClaim") in kinds or any(_mounts(obj) for obj in here.values()):  # not all are warnings
            add(f"{root}/events", _REASONS, "involvedObject.kind=PersistentVolumeClaim")
    for ref, resource in resources.items():
        alone = sum(collection(one) == collection(ref) for one in resources) == 1
        add(resource.collection(ref.namespace or None), collection(ref), f"metadata.name={ref.name}" if alone else "")
    return [(path, query, shows) for (path, _key), (query, shows) in found.items()]


def _mounts(obj: Object) -> bool:
    return bool(at(obj, "spec", "volumeClaimTemplates")) or any(claims_of(spec) for spec in pod_specs(obj))
