# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Which members go: those that left the release and still carry its label. Data is never among them by itself."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from ._cluster import Cluster
from ._discovery import Discovery
from ._history import Member
from ._manifest import PART_OF, Object, Ref
from ._plan import in_parallel
from ._waves import wave_of

DATA_KINDS = frozenset({"PersistentVolumeClaim", "Namespace"})


@dataclass(frozen=True)
class Leaving:
    """A member that left, with what is to happen: pruned (to delete), kept (data), foreign (not ours any more)."""

    member: Member
    action: str
    path: str
    uid: str
    wave: int


def left(before: Iterable[Member], now: Iterable[Ref]) -> list[Member]:
    """Members of the last revision that are in the new one no more; the API version does not matter."""
    staying = set(now)
    return [item for item in before if item.ref not in staying]


def verdict(live: Object, applyset: str, delete_data: bool) -> str:
    """pruned, kept or foreign. Only our own label makes an object ours; what a controller owns is its own."""
    metadata = live["metadata"]
    if (metadata.get("labels") or {}).get(PART_OF) != applyset:
        return "foreign"
    if any(owner.get("controller") for owner in metadata.get("ownerReferences") or []):
        return "foreign"
    return "kept" if live["kind"] in DATA_KINDS and not delete_data else "pruned"


def leaving(cluster: Cluster, discovery: Discovery, members: list[Member], applyset: str, *, delete_data: bool,
            parallelism: int) -> list[Leaving]:  # fmt: skip
    """Look at each member that left; those already gone are not mentioned."""

    def look(item: Member) -> Leaving | None:
        resource = discovery.find(item.api_version, item.ref.kind)
        if resource is None:
            return None
        path = resource.path(item.ref.namespace, item.ref.name)
        live = cluster.find(path)
        if live is None or (live["metadata"].get("deletionTimestamp") and item.ref.kind not in DATA_KINDS):
            return None
        live = {**live, "kind": item.ref.kind}
        return Leaving(item, verdict(live, applyset, delete_data), path, str(live["metadata"]["uid"]), wave_of(live))

    return [found for found in in_parallel(look, members, parallelism) if found]


def delete(cluster: Cluster, items: list[Leaving], *, parallelism: int, dry_run: bool = False) -> None:
    """Delete what is marked pruned, last wave first, each only while it is still the object we looked at."""
    doomed = [item for item in items if item.action == "pruned"]
    for wave in sorted({item.wave for item in doomed}, reverse=True):
        of_wave = [item for item in doomed if item.wave == wave]
        in_parallel(lambda item: cluster.delete(item.path, item.uid, dry_run=dry_run), of_wave, parallelism)


def await_gone(cluster: Cluster, items: list[Leaving], timeout: float) -> list[dict[str, str]]:
    """Watch each deleted object until it is gone; what is still there after ``timeout`` seconds is a failure."""
    deadline = time.monotonic() + timeout
    failures = []
    for item in (one for one in items if one.action == "pruned"):
        live = _last_seen(cluster, item, deadline)
        if live is not None:
            finalizers = ", ".join(live["metadata"].get("finalizers") or []) or "none"
            ref = item.member.ref
            failures.append({
                "kind": ref.kind, "namespace": ref.namespace, "name": ref.name,
                "message": f"{ref} is still being deleted after {timeout:g} s (finalizers: {finalizers})",
                "way_out": "let the owner of the finalizer finish, then run again",
            })  # fmt: skip
    return failures


def _last_seen(cluster: Cluster, item: Leaving, deadline: float) -> Object | None:
    """The object when it outlives the deadline, else None."""
    collection, _slash, name = item.path.rpartition("/")
    while True:
        live = cluster.find(item.path)
        if live is None or live["metadata"]["uid"] != item.uid:
            return None
        left = int(deadline - time.monotonic())
        if left <= 0:
            return live
        query = {"watch": "1", "fieldSelector": f"metadata.name={name}", "timeoutSeconds": left,
                 "resourceVersion": live["metadata"]["resourceVersion"]}  # fmt: skip
        response = cluster.stream(collection, query)
        for line in response:
            if b'"type":"DELETED"' in line[:40]:
                break
        response.close()
