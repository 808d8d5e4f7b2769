# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The collections that are watched while objects are awaited. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._json import at
from ..cluster._discovery import Resource
from ..kinds._kinds import is_workload
from ..objects._manifest import Object, Ref
from ._pods import claims_of, pod_specs

Collection = tuple[str, str, str]
"""Group, kind and namespace."""
_REASONS: Collection = ("", "", "")
"""The collection of a watch that shows no awaited object, only reasons."""


def collection(ref: Ref) -> Collection:
    return ref.group, ref.kind, ref.namespace


def collections(
    live: Mapping[Ref, Object], resources: Mapping[Ref, Resource]
) -> list[tuple[str, dict[str, Any], Collection]]:
    """Return path, query and collection of each watch: of the objects, and of the reasons for their state."""
    watches: dict[tuple[str, str], tuple[dict[str, Any], Collection]] = {}

    def add(path: str, shows: Collection, selector: str = "") -> None:
        watches.setdefault((path, shows[1] or selector), ({"fieldSelector": selector} if selector else {}, shows))

    for namespace in sorted({ref.namespace for ref in live} - {""}):
        in_namespace = {ref: obj for ref, obj in live.items() if ref.namespace == namespace}
        root, kinds = f"/api/v1/namespaces/{namespace}", {(ref.group, ref.kind) for ref in in_namespace}
        add(f"{root}/events", _REASONS, "type=Warning")
        if any(is_workload(obj) for obj in in_namespace.values()):
            add(f"{root}/pods", ("", "Pod", namespace))
        if kinds & {("apps", "Deployment"), ("apps", "ReplicaSet")}:
            add(f"/apis/apps/v1/namespaces/{namespace}/replicasets", ("apps", "ReplicaSet", namespace))
        if ("", "PersistentVolumeClaim") in kinds or any(
            _mounts(obj) for obj in in_namespace.values()
        ):  # not all are warnings
            add(f"{root}/events", _REASONS, "involvedObject.kind=PersistentVolumeClaim")
    for ref, resource in resources.items():
        alone = sum(collection(other) == collection(ref) for other in resources) == 1
        add(resource.collection(ref.namespace or None), collection(ref), f"metadata.name={ref.name}" if alone else "")
    return [(path, query, shows) for (path, _key), (query, shows) in watches.items()]


def _mounts(obj: Object) -> bool:
    return bool(at(obj, "spec", "volumeClaimTemplates")) or any(claims_of(spec) for spec in pod_specs(obj))
