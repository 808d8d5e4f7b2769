# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""ApplySets as kubectl writes and reads them (KEP-3659): the parent's hints, and the members found by their label."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ._cluster import Cluster
from ._discovery import Discovery, Resource
from ._errors import ApiError
from ._manifest import PART_OF, Object, Ref
from ._plan import in_parallel

PREFIX = "applyset.kubernetes.io/"
ID_LABEL = f"{PREFIX}id"
TOOLING_ANNOTATION = f"{PREFIX}tooling"
KINDS_ANNOTATION = f"{PREFIX}contains-group-kinds"
RESOURCES_ANNOTATION = f"{PREFIX}contains-group-resources"
NAMESPACES_ANNOTATION = f"{PREFIX}additional-namespaces"


@dataclass(frozen=True)
class Hints:
    """Where a parent says that its members may be.

    ``kinds`` are ``Kind.group`` (``Kind`` alone in the core group). ``resources`` are ``plural.group``, from the
    annotation that kubectl 1.27 wrote before there was one of kinds; they count only where ``kinds`` are not given.
    """

    tooling: str
    kinds: tuple[str, ...]
    resources: tuple[str, ...]
    namespaces: tuple[str, ...]


def hints(parent: Object) -> Hints:
    """What the parent's annotations say. The parent's own namespace always belongs to the set. Pure."""
    metadata = parent["metadata"]
    annotations: dict[str, str] = metadata.get("annotations") or {}

    def listed(annotation: str) -> tuple[str, ...]:
        return tuple(sorted(item for item in (annotations.get(annotation) or "").split(",") if item))

    kinds = listed(KINDS_ANNOTATION)
    resources = () if KINDS_ANNOTATION in annotations else listed(RESOURCES_ANNOTATION)
    home = metadata.get("namespace") or ""
    namespaces = tuple(sorted({home, *listed(NAMESPACES_ANNOTATION)} - {""}))
    return Hints(annotations.get(TOOLING_ANNOTATION, ""), kinds, resources, namespaces)


def group_kind(ref: Ref) -> str:
    """``Deployment.apps``, ``ConfigMap``: the form of the hint."""
    return f"{ref.kind}.{ref.group}" if ref.group else ref.kind


def members(cluster: Cluster, discovery: Discovery, applyset: str, group_kinds: Iterable[str],
            namespaces: Iterable[str], *, group_resources: Iterable[str] = (),
            parallelism: int = 8) -> list[Object]:  # fmt: skip
    """Every object that carries the set's label, ``apiVersion`` and ``kind`` filled in, whatever a record says.

    Kinds the cluster no longer serves have no objects and are passed over.

    :param group_kinds: ``Kind.group``, as in the hint; :param namespaces: where the namespaced kinds are looked for.
    :raises ApiError: when a kind may not be listed.
    """
    versions = _Versions(cluster)
    resources = {versions.of_kind(discovery, kind) for kind in set(group_kinds)}
    resources |= {versions.of_resource(name) for name in set(group_resources)}
    known = sorted((one for one in resources if one and "list" in one.verbs), key=lambda one: (one.group, one.kind))
    homes = sorted(set(namespaces))
    places = [(one, home) for one in known for home in (homes if one.namespaced else [""])]

    def listed(place: tuple[Resource, str]) -> list[Object]:
        resource, namespace = place
        found = cluster.list(resource.collection(namespace or None), selector=f"{PART_OF}={applyset}")
        return [{**item, "apiVersion": resource.api_version, "kind": resource.kind} for item in found]

    return [item for items in in_parallel(listed, places, parallelism) for item in items]


class _Versions:
    """The preferred version of a group: a hint names none."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._known: dict[str, list[str]] = {"": ["v1"]}

    def of_kind(self, discovery: Discovery, group_kind: str) -> Resource | None:
        kind, _dot, group = group_kind.partition(".")
        found = (discovery.find(version, kind) for version in self._of(group))
        return next((resource for resource in found if resource), None)

    def of_resource(self, group_resource: str) -> Resource | None:
        plural, _dot, group = group_resource.partition(".")
        for version in self._of(group):
            root = f"/apis/{version}" if group else f"/api/{version}"
            for row in self._cluster.request("GET", root).get("resources") or []:
                if row["name"] == plural:
                    return Resource(version, row["kind"], plural, row["namespaced"], frozenset(row["verbs"]))
        return None

    def _of(self, group: str) -> list[str]:
        if group not in self._known:
            self._known[group] = _served(self._group(group))
        return self._known[group]

    def _group(self, group: str) -> dict[str, Any]:
        try:
            return dict(self._cluster.request("GET", f"/apis/{group}"))
        except ApiError as error:
            if error.status == 404:
                return {}
            raise


def _served(group: dict[str, Any]) -> list[str]:
    """All versions of an ``APIGroup``, the preferred one first."""
    preferred = (group.get("preferredVersion") or {}).get("groupVersion")
    versions = [item["groupVersion"] for item in group.get("versions") or []]
    return sorted(versions, key=lambda version: version != preferred)
