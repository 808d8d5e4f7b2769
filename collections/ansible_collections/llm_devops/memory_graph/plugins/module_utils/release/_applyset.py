# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The members of an ApplySet, found by their label as kubectl finds them (KEP-3659)."""

from __future__ import annotations

from collections.abc import Iterable

from .._errors import ApiError
from ..cluster._cluster import Cluster, in_parallel
from ..cluster._discovery import Discovery, Resource
from ..objects._applyset_parent import ApplySetAnnotations, hints
from ..objects._manifest import PART_OF, Object, Ref

__all__ = ["ApplySetAnnotations", "group_kind", "hints", "members"]


def group_kind(ref: Ref) -> str:
    """Return ``Deployment.apps`` or ``ConfigMap``: the form of the hint."""
    return _group_kind(ref.group, ref.kind)


def _group_kind(group: str, kind: str) -> str:
    return f"{kind}.{group}" if group else kind


def _parted(group_kind: str) -> tuple[str, str]:
    kind, _dot, group = group_kind.partition(".")
    return group, kind


def members(cluster: Cluster, discovery: Discovery, applyset: str, group_kinds: Iterable[str],
            namespaces: Iterable[str], *, group_resources: Iterable[str] = (), parallelism: int = 8,
            except_in: frozenset[tuple[str, str]] = frozenset(), lenient: bool = False) -> list[Object]:  # fmt: skip
    """Return every object that carries the set's label, with ``apiVersion`` and ``kind``, whatever a record says.

    Any served version of a kind reaches its objects. Kinds of which none is served are passed over.

    :param group_kinds: ``Kind.group``, as in the hint; :param namespaces: where the namespaced kinds are looked for;
    :param except_in: pairs of group kind and namespace that need no look; :param lenient: whether kinds that may
    not be listed are passed over, too.
    :raises ApiError: when a kind may not be listed.
    """
    resources = {discovery.reach(*_parted(kind)) for kind in set(group_kinds)}
    resources |= {discovery.named(name) for name in set(group_resources)}
    listable = sorted(
        (resource for resource in resources if resource and "list" in resource.verbs),
        key=lambda resource: (resource.group, resource.kind),
    )
    all_namespaces = sorted(set(namespaces))
    collections = [
        (resource, namespace)
        for resource in listable
        for namespace in (all_namespaces if resource.namespaced else [""])
    ]
    collections = [
        (resource, namespace)
        for resource, namespace in collections
        if (_group_kind(resource.group, resource.kind), namespace) not in except_in
    ]

    def list_members(collection: tuple[Resource, str]) -> list[Object]:
        resource, namespace = collection
        try:
            items = list(cluster.list(resource.collection(namespace or None), selector=f"{PART_OF}={applyset}"))
        except ApiError as error:
            if not lenient or error.status != 403:
                raise
            return []
        return [{**item, "apiVersion": resource.api_version, "kind": resource.kind} for item in items]

    return [item for items in in_parallel(list_members, collections, parallelism) for item in items]
