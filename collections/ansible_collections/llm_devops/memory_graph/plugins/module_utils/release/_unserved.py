# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Objects of a kind that the cluster serves in no version: they cannot be reached, and may still exist."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from .._errors import ApiError, ClusterError
from ..cluster._cluster import Cluster
from ..cluster._discovery import Discovery
from ..objects._manifest import Object, Ref

POLL_INTERVAL_S = 0.1
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def refuse(cluster: Cluster, refs: Iterable[Ref]) -> list[str]:
    """Return a sentence about each kind whose definition is gone, and its objects with it.

    :raises ClusterError: when the definition exists and no version of it is served, or it cannot be read: the objects
        may exist, and a release that forgot them would leave them behind for ever.
    """
    names_by_kind: dict[tuple[str, str], list[str]] = {}
    for identity in sorted(refs):
        names_by_kind.setdefault((identity.group, identity.kind), []).append(identity.name)
    if not names_by_kind:
        return []
    try:
        definitions = list(cluster.list(CRDS))
    except ApiError as error:
        if error.status != 403:
            raise
        raise _refusal(names_by_kind, "and whether its CustomResourceDefinition is there may not be asked") from error
    defined = {(item["spec"]["group"], item["spec"]["names"]["kind"]) for item in definitions}
    refused = {kind: names for kind, names in names_by_kind.items() if kind in defined}
    if refused:
        raise _refusal(refused, "but its CustomResourceDefinition is there")
    return [
        f"{_titled(*kind)} is known to the cluster no more: {', '.join(names)} went with its definition"
        for kind, names in names_by_kind.items()
    ]


def _titled(group: str, kind: str) -> str:
    return f"{kind} of {group}" if group else kind


def _refusal(named: dict[tuple[str, str], list[str]], why: str) -> ClusterError:
    (group, kind), names = next(iter(named.items()))
    more = f" (and {len(named) - 1} more kinds)" if len(named) > 1 else ""
    return ClusterError(
        f"the cluster serves no version of {_titled(group, kind)}, {why}: {', '.join(names)} cannot be reached{more};"
        " nothing was deleted, and the release still knows them",
        "have one version of it served again and run again, or delete the definition and with it the objects",
    )


def served_by(objects: Iterable[Object]) -> Iterator[tuple[str, str, frozenset[str]]]:
    """Yield group, kind and the served versions of every CustomResourceDefinition among the objects."""
    for item in objects:
        spec = item.get("spec")
        if item["kind"] == "CustomResourceDefinition" and isinstance(spec, dict):
            names: Any = spec.get("names") if isinstance(spec.get("names"), dict) else {}
            versions = [version for version in spec.get("versions") or [] if isinstance(version, dict)]
            yield (str(spec.get("group")), str(names.get("kind")),
                   frozenset(str(version.get("name")) for version in versions if version.get("served")))  # fmt: skip


def await_served(discovery: Discovery, objects: Iterable[Object], timeout_s: float) -> None:
    """Wait until discovery shows just the versions that the definitions among the objects serve.

    A definition that was there before stays ``Established`` while the API server takes its new versions up.
    """
    deadline, definitions = time.monotonic() + timeout_s, list(served_by(objects))
    discovery.forget(group for group, _kind, _served in definitions)
    for group, kind, served in definitions:
        served_versions = {f"{group}/{version}" for version in served}
        while set(discovery.serving(group, kind)) != served_versions and time.monotonic() < deadline:
            time.sleep(POLL_INTERVAL_S)
            discovery.forget([group])


def in_served_versions(discovery: Discovery, objects: Iterable[Object]) -> Iterator[tuple[Object, str]]:
    """Yield each object in a version that is served, and that version where the object was stored in another.

    Objects of a CustomResourceDefinition among the objects are left as they are.
    """
    objects = list(objects)
    defined = {(f"{group}/{version}", kind) for group, kind, served in served_by(objects) for version in served}
    for item in objects:
        version, kind = item["apiVersion"], item["kind"]
        if (version, kind) in defined or discovery.find(version, kind):
            yield item, ""
            continue
        resource = discovery.reach(version.rpartition("/")[0], kind)
        yield ({**item, "apiVersion": resource.api_version}, resource.api_version) if resource else (item, "")
