# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Which members go: those that left the release and still carry its label. Data is never among them by itself.

Membership is the label's, as ApplySets have it (KEP-3659): what the record knows is looked at by name, and what carries
the label is looked for where the record, the parent's hints and the new objects say that members may be.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from .._errors import ApiError
from ..cluster._cluster import FIELD_MANAGER, Cluster, in_parallel
from ..cluster._discovery import Discovery, by_name
from ..cluster._transport import TransportError
from ..kinds._waves import wave_of
from ..objects._manifest import PART_OF, Object, Ref, ref
from ..objects._namespaces import held
from . import _applyset, _unserved
from ._history import Member, Record
from ._step import Step

DATA_KINDS = frozenset({"PersistentVolumeClaim", "Namespace"})


@dataclass(frozen=True)
class Leaving:
    """A member that left, with what is to happen: pruned (to delete), kept (data), foreign (not ours any more)."""

    member: Member
    action: str
    path: str
    uid: str
    wave: int


def members(cluster: Cluster, discovery: Discovery, record: Record, steps: Iterable[Step], *, seen: Iterable[Object],
            parallelism: int) -> list[Member]:  # fmt: skip
    """The release's members: those its record knows, and those that only their label tells.

    Such are left where a record was lost, or written by other tooling that had the set. ``seen`` is what planning the
    ``steps`` has listed already; Secrets and what lives at cluster scope, which it reads by name, are listed here as
    far as that is allowed.
    """
    known, steps = {item.ref: item for item in record.members}, list(steps)
    hints = record.hints
    kinds = {_applyset.group_kind(one) for one in (*known, *(step.ref for step in steps))} | set(hints.kinds)
    namespaces = {one.namespace for one in known} | set(hints.namespaces) | {record.namespace}
    listed = {
        (_applyset.group_kind(step.ref), step.ref.namespace)
        for step in steps if step.resource and not by_name(step.resource)
    }  # fmt: skip
    labelled = _applyset.members(
        cluster, discovery, record.id, kinds, namespaces - {""}, group_resources=hints.resources,
        parallelism=parallelism, except_in=frozenset(listed), lenient=True,
    )  # fmt: skip
    for item in (*seen, *labelled):
        known.setdefault(ref(item), Member(str(item["apiVersion"]), ref(item)))
    return sorted(known.values(), key=lambda item: item.ref)


def left(before: Iterable[Member], now: Iterable[Ref]) -> list[Member]:
    """Members of the last revision that are in the new one no more; the API version does not matter."""
    staying = set(now)
    return [item for item in before if item.ref not in staying]


def verdict(live: Object, applyset: str, delete_data: bool) -> str:
    """pruned, kept or foreign.

    Only our own label makes an object ours, and only where somebody put it who applies sets: a controller that copies
    labels to what it makes, such as an Endpoints, puts it there as well. What a controller owns is its own.
    """
    metadata = live["metadata"]
    if (metadata.get("labels") or {}).get(PART_OF) != applyset:
        return "foreign"
    if any(owner.get("controller") for owner in metadata.get("ownerReferences") or []):
        return "foreign"
    labelling = _labelled_by(metadata)
    if labelling and not any(manager == FIELD_MANAGER or manager.startswith("kubectl") for manager in labelling):
        return "foreign"
    return "kept" if live["kind"] in DATA_KINDS and not delete_data else "pruned"


def _labelled_by(metadata: dict[str, Any]) -> list[str]:
    """The field managers that own the label; none where the API server does not say."""
    entries = metadata.get("managedFields") or []
    return [
        str(entry.get("manager", "")) for entry in entries
        if f"f:{PART_OF}" in (((entry.get("fieldsV1") or {}).get("f:metadata") or {}).get("f:labels") or {})
    ]  # fmt: skip


def leaving(cluster: Cluster, discovery: Discovery, candidates: list[Member], applyset: str, *, delete_data: bool,
            parallelism: int, say: Callable[[str], None] = lambda _text: None) -> list[Leaving]:  # fmt: skip
    """Look at each member that left; those already gone are not mentioned, those of a kind that is gone are to ``say``.

    :raises ClusterError: when a kind is not served in any version and its objects may be there.
    """
    lost = [item.ref for item in candidates if discovery.reach(item.ref.group, item.ref.kind, item.api_version) is None]
    for text in _unserved.refuse(cluster, lost):
        say(text)

    def look(item: Member) -> Leaving | None:
        path = reached(discovery, item)
        if not path:
            return None
        live = cluster.find(path)
        if live is None or (live["metadata"].get("deletionTimestamp") and item.ref.kind not in DATA_KINDS):
            return None
        live = {**live, "kind": item.ref.kind}
        return Leaving(item, verdict(live, applyset, delete_data), path, str(live["metadata"]["uid"]), wave_of(live))

    return [found for found in in_parallel(look, candidates, parallelism) if found]


def reached(discovery: Discovery, member: Member) -> str:
    """Where a member lives now, in whatever version is served; empty where none is."""
    resource = discovery.reach(member.ref.group, member.ref.kind, member.api_version)
    return resource.path(member.ref.namespace, member.ref.name) if resource else ""


def _remove(cluster: Cluster, discovery: Discovery, item: Leaving, dry_run: bool) -> Object:
    """Delete one object, by another version where the release itself has stopped the one we looked at."""
    path = reached(discovery, item.member)
    try:
        return cluster.delete(path, item.uid, dry_run=dry_run) if path else {}
    except ApiError as error:
        if not error.unserved:
            raise
    discovery.forget([item.member.ref.group])
    path = reached(discovery, item.member)
    if not path:
        _unserved.refuse(cluster, [item.member.ref])
    return cluster.delete(path, item.uid, dry_run=dry_run) if path else {}


def delete(cluster: Cluster, discovery: Discovery, items: list[Leaving], *, parallelism: int,
           dry_run: bool = False) -> list[str]:  # fmt: skip
    """Delete what is marked pruned, last wave first, each only while it is still the object we looked at.

    Returns a sentence about each object that goes only when somebody's finalizer lets it.
    """
    told = []
    doomed = [item for item in items if item.action == "pruned"]
    for wave in sorted({item.wave for item in doomed}, reverse=True):
        of_wave = [item for item in doomed if item.wave == wave]
        rest = in_parallel(lambda item: _remove(cluster, discovery, item, dry_run), of_wave, parallelism)
        waits = ((item.member.ref, held(live)) for item, live in zip(of_wave, rest, strict=True))
        told += [f"{who} is deleted and goes once its finalizer is done: {names}" for who, names in waits if names]
    return told


def await_gone(cluster: Cluster, items: list[Leaving], timeout: float) -> list[dict[str, str]]:
    """Watch each deleted object until it is gone; what is still there after ``timeout`` seconds is a failure.

    A deleted Namespace takes along what is in it, which need not be waited for, and maybe the very permissions to look.
    """
    deadline = time.monotonic() + timeout
    doomed = [one for one in items if one.action == "pruned"]
    going = {one.member.ref.name for one in doomed if one.member.ref.kind == "Namespace"}
    failures = []
    for item in (one for one in doomed if one.member.ref.namespace not in going):
        try:
            live = _last_seen(cluster, item, deadline)
        except ApiError as error:
            if not going or error.status not in (401, 403):
                raise
            live = None
        if live is not None:
            finalizers = held(live) or ", ".join(live["metadata"].get("finalizers") or []) or "none"
            who = item.member.ref
            failures.append({
                "kind": who.kind, "namespace": who.namespace, "name": who.name,
                "message": f"{who} is still being deleted after {timeout:g} s (finalizers: {finalizers})",
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
        try:
            response = cluster.stream(collection, query)
            for line in response:
                if b'"type":"DELETED"' in line[:40]:
                    break
            response.close()
        except TransportError:  # dropped: looking again waits for the API server to come back
            continue
        except ApiError as error:
            if error.status != 410:  # the version we looked at is too old to watch from
                raise
