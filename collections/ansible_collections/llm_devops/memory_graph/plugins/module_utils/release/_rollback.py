# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A rollback: the objects of an earlier revision, to be released again, and why some cannot go back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .._errors import ClusterError
from ..cluster._cluster import Cluster, in_parallel
from ..cluster._discovery import Discovery
from ..objects._manifest import Object, Ref, ref
from . import _immutable, _revisions, _unserved
from ._history import ReleaseRecord
from ._redacted import RestoredObject, StoredObject, restore

PREVIOUS = 0
_READ_KINDS = frozenset({"Secret", "PersistentVolumeClaim"})


@dataclass
class RollbackSource:
    """The revision that a rollback goes back to, its objects, and notes for a person."""

    revision: int
    objects: list[Object]
    notes: list[str] = field(default_factory=list)


def find_source(
    cluster: Cluster, discovery: Discovery, record: ReleaseRecord, revision: int, parallelism: int
) -> RollbackSource:
    """Return the objects of a revision; :data:`PREVIOUS` is the last deployed one before the current.

    :raises ClusterError: when there is no such revision, or it cannot go back; nothing was written.
    """
    entry = select_entry(record, revision)
    stored = _revisions.read(cluster, record, entry)
    if stored is None:
        raise ClusterError(
            f"the objects of revision {entry['revision']} of {record.name} were not kept",
            f"choose another one ({_remembered(record)}), or deploy the configuration that made it",
        )
    live = live_of(cluster, discovery, [item for item in stored if item.manifest["kind"] in _READ_KINDS], parallelism)
    restored = [restore(item, live.get(ref(item.manifest)), record.key) for item in stored]
    problems = [text for item in restored for text in refusals(item, live.get(ref(item.manifest)))]
    if problems:
        raise ClusterError(
            f"revision {entry['revision']} of {record.name} cannot come back: {'; '.join(problems)}",
            "nothing was written; deploy the configuration of that revision with this mended",
        )
    notes = [text for item in restored for text in remarks(item, live.get(ref(item.manifest)))]
    if entry["state"] != "deployed":
        notes.insert(0, f"revision {entry['revision']} did not become ready when it was deployed ({entry['state']})")
    objects = []
    for manifest, version in _unserved.in_served_versions(discovery, [item.manifest for item in restored]):
        objects.append(manifest)
        if version:
            notes.append(f"{ref(manifest)} goes back as {version}, as its own version is not served any more")
    return RollbackSource(int(entry["revision"]), objects, notes)


def select_entry(record: ReleaseRecord, revision: int) -> dict[str, Any]:
    """Return the entry of the history for a revision. Pure."""
    if not record.revision:
        raise ClusterError(f"{record.name} was never released in {record.namespace}", "deploy it first")
    if revision == PREVIOUS:
        deployed = [item for item in record.history if item["state"] == "deployed"]
        if not deployed:
            raise ClusterError(
                f"no revision before {record.revision} of {record.name} was deployed, so there is none to go back to",
                f"name one ({_remembered(record)}), or deploy a configuration that works",
            )
        return max(deployed, key=lambda item: int(item["revision"]))
    for item in record.revisions:
        if item["revision"] == revision:
            return item
    raise ClusterError(f"{record.name} in {record.namespace} has no revision {revision}",
                       f"it remembers {_remembered(record)}")  # fmt: skip


def _remembered(record: ReleaseRecord) -> str:
    return ", ".join(f"{item['revision']} {item['state']}" for item in record.revisions)


def live_of(cluster: Cluster, discovery: Discovery, stored: list[StoredObject], parallelism: int) -> dict[Ref, Object]:
    """Return the live state of the stored objects that exist."""

    def look(item: StoredObject) -> Object | None:
        identity = ref(item.manifest)
        resource = discovery.reach(identity.group, identity.kind, item.manifest["apiVersion"])
        return cluster.find(resource.path(identity.namespace, identity.name)) if resource else None

    live_objects = in_parallel(look, stored, parallelism)
    return {ref(item.manifest): live for item, live in zip(stored, live_objects, strict=True) if live}


def refusals(item: RestoredObject, live: Object | None) -> list[str]:
    """Return the reasons why the object cannot go back. Pure."""
    identity = ref(item.manifest)
    if identity.kind == "Secret" and live is None and item.missing:
        return [f"{identity} is gone, and its values are kept nowhere"]
    if identity.kind == "Secret" and item.missing:
        return [f"{identity} has no {', '.join(item.missing)} any more, and values are kept nowhere"]
    if identity.kind == "PersistentVolumeClaim" and live:
        error = _immutable.shrunk(item.manifest, live)
        return [error.message] if error else []
    return []


def remarks(item: RestoredObject, live: Object | None) -> list[str]:
    """Return remarks about an object that does not go back completely. Pure."""
    identity = ref(item.manifest)
    if item.changed:
        return [f"{identity} keeps its present {', '.join(item.changed)}: values of Secrets do not go back"]
    if identity.kind == "PersistentVolumeClaim" and live is None:
        return [f"{identity} is gone and is made anew, empty"]
    return []
