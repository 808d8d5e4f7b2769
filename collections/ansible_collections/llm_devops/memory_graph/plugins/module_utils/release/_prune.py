# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The pruning of members that left the release and still carry its label. Data stays unless ``delete_data``.

Membership is the label's, as ApplySets have it (KEP-3659): the members that the record knows are read by name, and
objects with the label are listed where the record, the parent's hints and the new objects say that members may be.
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
from ._history import Member, ReleaseRecord
from ._step import Step

DATA_KINDS = frozenset({"PersistentVolumeClaim", "Namespace"})


@dataclass(frozen=True)
class PruneCandidate:
    """A member that left the release. ``action``: pruned (to delete), kept (data), foreign (not ours any more)."""

    member: Member
    action: str
    path: str
    uid: str
    wave: int


def members(cluster: Cluster, discovery: Discovery, record: ReleaseRecord, steps: Iterable[Step], *,
            seen: Iterable[Object], parallelism: int) -> list[Member]:  # fmt: skip
    """Return the release's members: those its record knows, and those that only have its label.

    The latter exist where a record was lost, or written by other tooling that had the set. Planning the ``steps`` has
    listed ``seen`` already; Secrets and cluster-scoped objects, which it reads by name, are listed here where allowed.
    """
    members_by_ref, steps = {item.ref: item for item in record.members}, list(steps)
    hints = record.hints
    kinds = {_applyset.group_kind(member_ref) for member_ref in (*members_by_ref, *(step.ref for step in steps))} | set(
        hints.kinds
    )
    namespaces = {member_ref.namespace for member_ref in members_by_ref} | set(hints.namespaces) | {record.namespace}
    listed = {
        (_applyset.group_kind(step.ref), step.ref.namespace)
        for step in steps if step.resource and not by_name(step.resource)
    }  # fmt: skip
    labelled = _applyset.members(
        cluster, discovery, record.id, kinds, namespaces - {""}, group_resources=hints.resources,
        parallelism=parallelism, except_in=frozenset(listed), lenient=True,
    )  # fmt: skip
    for item in (*seen, *labelled):
        members_by_ref.setdefault(ref(item), Member(str(item["apiVersion"]), ref(item)))
    return sorted(members_by_ref.values(), key=lambda item: item.ref)


def removed_members(before: Iterable[Member], now: Iterable[Ref]) -> list[Member]:
    """Return the members of the last revision that are not in the new one, whatever their API version."""
    staying = set(now)
    return [item for item in before if item.ref not in staying]


def verdict(live: Object, applyset: str, delete_data: bool) -> str:
    """Return the action for a member: pruned, kept or foreign.

    Only our own label makes an object ours, and only where a tool that applies sets put it there: a controller that
    copies labels to the objects it makes, such as Endpoints, puts it there as well. An object that a controller owns is
    the controller's.
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
    """Return the field managers that own the label; none where the API server does not say."""
    entries = metadata.get("managedFields") or []
    return [
        str(entry.get("manager", "")) for entry in entries
        if f"f:{PART_OF}" in (((entry.get("fieldsV1") or {}).get("f:metadata") or {}).get("f:labels") or {})
    ]  # fmt: skip


def find_candidates(cluster: Cluster, discovery: Discovery, removed: list[Member], applyset: str, *, delete_data: bool,
                    parallelism: int,
                    say: Callable[[str], None] = lambda _text: None) -> list[PruneCandidate]:  # fmt: skip
    """Read each member that left, and drop those that no longer exist. ``say`` is told of kinds that are gone.

    :raises ClusterError: when a kind is not served in any version and its objects may be there.
    """
    unserved = [
        item.ref for item in removed if discovery.reach(item.ref.group, item.ref.kind, item.api_version) is None
    ]
    for text in _unserved.refuse(cluster, unserved):
        say(text)

    def look(item: Member) -> PruneCandidate | None:
        path = path_of(discovery, item)
        if not path:
            return None
        live = cluster.find(path)
        if live is None or (live["metadata"].get("deletionTimestamp") and item.ref.kind not in DATA_KINDS):
            return None
        live = {"apiVersion": item.api_version, **live, "kind": item.ref.kind}
        return PruneCandidate(
            item, verdict(live, applyset, delete_data), path, str(live["metadata"]["uid"]), wave_of(live)
        )

    return [candidate for candidate in in_parallel(look, removed, parallelism) if candidate]


def path_of(discovery: Discovery, member: Member) -> str:
    """Return the path of a member in any version that is served; empty where none is."""
    resource = discovery.reach(member.ref.group, member.ref.kind, member.api_version)
    return resource.path(member.ref.namespace, member.ref.name) if resource else ""


def _remove(cluster: Cluster, discovery: Discovery, item: PruneCandidate, dry_run: bool) -> Object:
    """Delete one object, by another version where the release itself has stopped the one it was read in."""
    path = path_of(discovery, item.member)
    try:
        return cluster.delete(path, item.uid, dry_run=dry_run) if path else {}
    except ApiError as error:
        if not error.unserved:
            raise
    discovery.forget([item.member.ref.group])
    path = path_of(discovery, item.member)
    if not path:
        _unserved.refuse(cluster, [item.member.ref])
    return cluster.delete(path, item.uid, dry_run=dry_run) if path else {}


def delete(cluster: Cluster, discovery: Discovery, items: list[PruneCandidate], *, parallelism: int,
           dry_run: bool = False) -> list[str]:  # fmt: skip
    """Delete the objects marked pruned, last wave first, each only while it is still the object that was read.

    Return a sentence about each object that a finalizer holds.
    """
    sentences = []
    pruned = [item for item in items if item.action == "pruned"]
    for wave in sorted({item.wave for item in pruned}, reverse=True):
        of_wave = [item for item in pruned if item.wave == wave]
        rest = in_parallel(lambda item: _remove(cluster, discovery, item, dry_run), of_wave, parallelism)
        waits = ((item.member.ref, held(live)) for item, live in zip(of_wave, rest, strict=True))
        sentences += [
            f"{member_ref} is deleted and goes once its finalizer is done: {names}"
            for member_ref, names in waits
            if names
        ]
    return sentences


def await_gone(cluster: Cluster, items: list[PruneCandidate], timeout: float) -> list[dict[str, str]]:
    """Watch each deleted object until it is gone; one that still exists after ``timeout`` seconds is a failure.

    A deleted Namespace takes along its objects, which need no wait, and maybe the very permissions to read them.
    """
    deadline = time.monotonic() + timeout
    pruned = [item for item in items if item.action == "pruned"]
    deleted_namespaces = {item.member.ref.name for item in pruned if item.member.ref.kind == "Namespace"}
    failures = []
    for item in (item for item in pruned if item.member.ref.namespace not in deleted_namespaces):
        try:
            live = _await_deletion(cluster, item, deadline)
        except ApiError as error:
            if not deleted_namespaces or error.status not in (401, 403):
                raise
            live = None
        if live is not None:
            finalizers = held(live) or ", ".join(live["metadata"].get("finalizers") or []) or "none"
            member_ref = item.member.ref
            failures.append({
                "kind": member_ref.kind, "namespace": member_ref.namespace, "name": member_ref.name,
                "message": f"{member_ref} is still being deleted after {timeout:g} s (finalizers: {finalizers})",
                "way_out": "let the owner of the finalizer finish, then run again",
            })  # fmt: skip
    return failures


def _await_deletion(cluster: Cluster, item: PruneCandidate, deadline: float) -> Object | None:
    """Return the object when it outlives the deadline, else None."""
    collection, _slash, name = item.path.rpartition("/")
    while True:
        live = cluster.find(item.path)
        if live is None or live["metadata"]["uid"] != item.uid:
            return None
        remaining = int(deadline - time.monotonic())
        if remaining <= 0:
            return live
        query = {"watch": "1", "fieldSelector": f"metadata.name={name}", "timeoutSeconds": remaining,
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
