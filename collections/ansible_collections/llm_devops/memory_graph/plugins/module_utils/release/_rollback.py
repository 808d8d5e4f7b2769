# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The objects of an earlier revision, to be released again, and what cannot go back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .._errors import ClusterError
from ..cluster._cluster import Cluster, in_parallel
from ..cluster._discovery import Discovery
from ..objects._manifest import Object, Ref, ref
from . import _immutable, _revisions, _unserved
from ._history import Record
from ._redacted import Kept, Restored, restored

PREVIOUS = 0
_LOOKED_AT = frozenset({"Secret", "PersistentVolumeClaim"})


@dataclass
class Source:
    """Where a rollback goes: the revision, its objects, and what a person should know of it."""

    revision: int
    objects: list[Object]
    notes: list[str] = field(default_factory=list)


def source(cluster: Cluster, discovery: Discovery, record: Record, wanted: int, parallelism: int) -> Source:
    """The objects of revision ``wanted``; :data:`PREVIOUS` is the last deployed one before the current.

    :raises ClusterError: when there is no such revision, or it cannot go back; nothing was written.
    """
    entry = chosen(record, wanted)
    kept = _revisions.read(cluster, record, entry)
    if kept is None:
        raise ClusterError(
            f"the objects of revision {entry['revision']} of {record.name} were not kept",
            f"choose another one ({_remembered(record)}), or deploy the configuration that made it",
        )
    live = live_of(cluster, discovery, [item for item in kept if item.manifest["kind"] in _LOOKED_AT], parallelism)
    made = [restored(item, live.get(ref(item.manifest)), record.key) for item in kept]
    problems = [text for item in made for text in refusals(item, live.get(ref(item.manifest)))]
    if problems:
        raise ClusterError(
            f"revision {entry['revision']} of {record.name} cannot come back: {'; '.join(problems)}",
            "nothing was written; deploy the configuration of that revision with this mended",
        )
    notes = [text for item in made for text in remarks(item, live.get(ref(item.manifest)))]
    if entry["state"] != "deployed":
        notes.insert(0, f"revision {entry['revision']} did not become ready when it was deployed ({entry['state']})")
    objects = []
    for manifest, version in _unserved.moved(discovery, [item.manifest for item in made]):
        objects.append(manifest)
        if version:
            notes.append(f"{ref(manifest)} goes back as {version}, as its own version is not served any more")
    return Source(int(entry["revision"]), objects, notes)


def chosen(record: Record, wanted: int) -> dict[str, Any]:
    """The entry of the history that is meant. Pure."""
    if not record.revision:
        raise ClusterError(f"{record.name} was never released in {record.namespace}", "deploy it first")
    if wanted == PREVIOUS:
        good = [item for item in record.history if item["state"] == "deployed"]
        if not good:
            raise ClusterError(
                f"no revision before {record.revision} of {record.name} was deployed, so there is none to go back to",
                f"name one ({_remembered(record)}), or deploy a configuration that works",
            )
        return max(good, key=lambda item: int(item["revision"]))
    for item in record.revisions:
        if item["revision"] == wanted:
            return item
    raise ClusterError(f"{record.name} in {record.namespace} has no revision {wanted}",
                       f"it remembers {_remembered(record)}")  # fmt: skip


def _remembered(record: Record) -> str:
    return ", ".join(f"{item['revision']} {item['state']}" for item in record.revisions)


def live_of(cluster: Cluster, discovery: Discovery, kept: list[Kept], parallelism: int) -> dict[Ref, Object]:
    """Those of the kept objects that exist, as they are."""

    def look(item: Kept) -> Object | None:
        identity = ref(item.manifest)
        resource = discovery.reach(identity.group, identity.kind, item.manifest["apiVersion"])
        return cluster.find(resource.path(identity.namespace, identity.name)) if resource else None

    found = in_parallel(look, kept, parallelism)
    return {ref(item.manifest): live for item, live in zip(kept, found, strict=True) if live}


def refusals(item: Restored, live: Object | None) -> list[str]:
    """What keeps the object from going back. Pure."""
    identity = ref(item.manifest)
    if identity.kind == "Secret" and live is None and item.missing:
        return [f"{identity} is gone, and its values are kept nowhere"]
    if identity.kind == "Secret" and item.missing:
        return [f"{identity} has no {', '.join(item.missing)} any more, and values are kept nowhere"]
    if identity.kind == "PersistentVolumeClaim" and live:
        error = _immutable.shrunk(item.manifest, live)
        return [error.message] if error else []
    return []


def remarks(item: Restored, live: Object | None) -> list[str]:
    """What goes back otherwise than one may think. Pure."""
    identity = ref(item.manifest)
    if item.moved:
        return [f"{identity} keeps its present {', '.join(item.moved)}: values of Secrets do not go back"]
    if identity.kind == "PersistentVolumeClaim" and live is None:
        return [f"{identity} is gone and is made anew, empty"]
    return []
