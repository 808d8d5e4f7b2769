# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Drift: manual changes, found by applying the current revision as a forced dry run."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .._json import mapping, mappings, text
from ..cluster._cluster import FIELD_MANAGER, Cluster
from ..cluster._discovery import Discovery
from ..objects import _diff, _fields
from ..objects._manifest import Object, Ref, ref
from ..objects._redact import redacted
from . import _applyset, _plan, _prune, _rollback, _unserved
from ._history import ReleaseRecord
from ._redacted import RestoredObject, StoredObject, restore
from ._step import Step

Fields = dict[str, Any]


@dataclass(frozen=True)
class Drift:
    """One difference: changed, missing, taken (same value, but another manager owns the field), or unknown (``reason``
    says why it could not be compared). ``manager`` wrote it last, at ``when``, where that is known."""

    ref: Ref
    difference: str
    path: str = ""
    expected: Any = None
    live: Any = None
    manager: str = ""
    when: str = ""
    reason: str = ""

    def as_dict(self, now: dt.datetime) -> dict[str, Any]:
        return {
            "kind": self.ref.kind, "namespace": self.ref.namespace, "name": self.ref.name, "what": self.difference,
            "path": self.path, "expected": self.expected, "live": self.live, "manager": self.manager,
            "when": self.when, "text": self.text(now),
        }  # fmt: skip

    def text(self, now: dt.datetime) -> str:
        """Return ``Deployment/web  spec.replicas: 3, live 5 — changed by kubectl-edit 2 h ago``."""
        by = f" by {self.manager} {ago(self.when, now) if self.when else ''}".rstrip() if self.manager else ""
        if self.difference == "missing":
            return f"{self.ref}  {f'{self.path} is' if self.path else 'is'} missing"
        if self.difference == "unknown":
            return f"{self.ref}  could not be compared: {self.reason}"
        if self.difference == "taken":
            return f"{self.ref}  {self.path}: as it should be — taken over{by}"
        if self.ref.kind == "Secret" and self.path.startswith("data"):
            sentence = f"{self.ref}  {self.path}: the value differs"
        else:
            sentence = f"{self.ref}  {self.path}: {_diff.short(self.expected)}, live {_diff.short(self.live)}"
        return f"{sentence} — changed{by}" if by else sentence


def ago(when: str, now: dt.datetime) -> str:
    """Return ``2 h ago``, by the clock of the reader. Pure."""
    try:
        seconds = max(int((now - dt.datetime.fromisoformat(when)).total_seconds()), 0)
    except (ValueError, TypeError):  # no time, or one without a zone
        return ""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def find_drift(
    cluster: Cluster, discovery: Discovery, record: ReleaseRecord, stored: list[StoredObject], parallelism: int
) -> list[Drift]:
    """Return every difference between the stored objects of the current revision and the live ones.

    Fields that others set beside ours are none, and neither are replicas that an autoscaler of the release sets.

    :raises ClusterError: when the cluster cannot be read.
    """
    secrets = [item for item in stored if item.hashes is not None]
    live = _rollback.live_of(cluster, discovery, secrets, parallelism)
    result: list[Drift] = []
    objects = []
    for item in stored:
        restored_object = restore(item, live.get(ref(item.manifest)), record.key)
        if item.hashes is not None and ref(item.manifest) not in live:
            result.append(Drift(ref(item.manifest), "missing"))
            continue
        result += _values(restored_object, live.get(ref(item.manifest)))
        objects.append(restored_object.manifest)
    objects = [manifest for manifest, _version in _unserved.in_served_versions(discovery, objects)]
    steps = _plan.plan(cluster, discovery, objects, record, parallelism=parallelism, force=True,
                       absent_namespaces=_absent(cluster, objects))  # fmt: skip
    reported = {(drift.ref, drift.path) for drift in result}
    for step in steps:
        result += [drift for drift in _of_step(step, record.key) if (drift.ref, drift.path) not in reported]
    return sorted(result, key=lambda drift: (drift.ref, drift.path))


def _absent(cluster: Cluster, objects: list[Object]) -> set[str]:
    namespaces = {str(item["metadata"].get("namespace") or "") for item in objects} - {""}
    return {name for name in namespaces if cluster.find(f"/api/v1/namespaces/{name}") is None}


def _values(item: RestoredObject, live: Object | None) -> Iterator[Drift]:
    identity = ref(item.manifest)
    for name in item.missing:
        yield Drift(identity, "missing", f"data.{name}")
    for name in item.changed:
        manager, when = writer(live, {"f:data": {f"f:{name}": {}}})
        yield Drift(identity, "changed", f"data.{name}", manager=manager, when=when)


def _of_step(step: Step, key: bytes) -> Iterator[Drift]:
    if step.error:
        yield Drift(step.ref, "unknown", reason=step.error.message)
    elif step.live is None:
        yield Drift(step.ref, "missing")
    elif step.after is not None:
        yield from compared(step.ref, step.live, step.after, key)


def compared(identity: Ref, live: Object, after: Object, key: bytes) -> Iterator[Drift]:
    """Yield the fields in which ``live`` is not as a forced apply would make it, each with its writer. Pure."""
    ours = _fields.owned(after, FIELD_MANAGER)
    wide = _fields.union(ours, _fields.owned(live, FIELD_MANAGER))
    writers = {
        change["path"]: _manager_and_time(entry)
        for entry in _others(live)
        for change in _differences(live, after, shared(entry["fieldsV1"], wide), key)
    }
    changed = _differences(live, after, wide, key)
    for change in changed:
        manager, when = writers.get(change["path"], ("", ""))
        yield Drift(identity, "changed", change["path"], change["after"], change["before"], manager, when)
    for entry in (entry for entry in _others(live) if entry.get("subresource") != "scale"):  # an autoscaler may
        for path, field in leaves(lost(shared(entry["fieldsV1"], ours), _fields.owned(live, FIELD_MANAGER))):
            if not _differences(live, after, field, key):
                manager, when = _manager_and_time(entry)
                yield Drift(identity, "taken", path, manager=manager, when=when)


def _differences(live: Object, after: Object, fields: Fields, key: bytes) -> list[_diff.Change]:
    if not fields:
        return []
    before, then = (redacted(_fields.visible(side, fields), key) for side in (live, after))
    return _diff.changes(before, then)


def _others(live: Object) -> list[dict[str, Any]]:
    """Return other managers' entries, the oldest first, so that the last writer of a field wins."""
    entries = [
        entry for entry in mappings(live, "metadata", "managedFields")
        if mapping(entry, "fieldsV1") and entry.get("manager") != FIELD_MANAGER and entry.get("subresource") != "status"
    ]  # fmt: skip
    return sorted(entries, key=lambda entry: text(entry, "time"))


def _manager_and_time(entry: dict[str, Any]) -> tuple[str, str]:
    return text(entry, "manager"), text(entry, "time")


def writer(live: Object | None, fields: Fields) -> tuple[str, str]:
    """Return the last other manager that owns one of ``fields``, and when it wrote; empty when none does. Pure."""
    entries = [entry for entry in _others(live or {}) if shared(entry["fieldsV1"], fields)]
    return _manager_and_time(entries[-1]) if entries else ("", "")


def shared(mine: Fields, other: Fields) -> Fields:
    """Return the fields in both sets; a leaf owns all below it. Pure."""
    if not mine or not other:
        return mine or other
    result = {}
    for name in mine.keys() & other.keys() - {"."}:
        inner = shared(mine[name], other[name])
        if inner or not mine[name] or not other[name]:
            result[name] = inner
    return result


def lost(fields: Fields, owned: Fields) -> Fields:
    """Return the fields that are not owned. Pure."""
    result = {}
    for name, inner in fields.items():
        if name not in owned:
            result[name] = inner
        elif inner and owned[name]:
            rest = lost(inner, owned[name])
            if rest:
                result[name] = rest
    return result


def leaves(fields: Fields, path: str = "") -> Iterator[tuple[str, Fields]]:
    """Yield each single field with its path: ``spec.replicas``, ``metadata.labels[app.kubernetes.io/name]``. Pure."""
    for name, below in fields.items():
        step = _fields.step(path, name)
        if below:
            yield from ((deeper, {name: field}) for deeper, field in leaves(below, step))
        elif name != ".":
            yield step, {name: {}}


def orphans(cluster: Cluster, discovery: Discovery, record: ReleaseRecord, parallelism: int) -> list[Ref]:
    """Return objects with the release's label that its record does not know, in the places of its hints."""
    hints = record.hints
    labelled = _applyset.members(cluster, discovery, record.id, hints.kinds, hints.namespaces,
                                 group_resources=hints.resources, parallelism=parallelism,
                                 lenient=True)  # fmt: skip
    members = {item.ref for item in record.members}
    own_objects = (item for item in labelled if _prune.verdict(item, record.id, delete_data=True) != "foreign")
    return sorted({ref(item) for item in own_objects} - members)
