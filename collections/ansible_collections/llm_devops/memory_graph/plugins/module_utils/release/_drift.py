# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""What somebody changed by hand: the current revision, applied as a dry run by force, against what lives."""

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
from ._history import Record
from ._redacted import Kept, Restored, restored
from ._step import Step

Fields = dict[str, Any]


@dataclass(frozen=True)
class Drift:
    """One difference. ``what``: changed, missing, taken (same value, but another manager owns the field), unknown
    (``reason`` says why it could not be compared). ``manager`` and ``when``: who wrote it last, where that is known."""

    ref: Ref
    what: str
    path: str = ""
    expected: Any = None
    live: Any = None
    manager: str = ""
    when: str = ""
    reason: str = ""

    def as_dict(self, now: dt.datetime) -> dict[str, Any]:
        return {
            "kind": self.ref.kind, "namespace": self.ref.namespace, "name": self.ref.name, "what": self.what,
            "path": self.path, "expected": self.expected, "live": self.live, "manager": self.manager,
            "when": self.when, "text": self.text(now),
        }  # fmt: skip

    def text(self, now: dt.datetime) -> str:
        """``Deployment/web  spec.replicas: 3, live 5 — changed by kubectl-edit 2 h ago``."""
        by = f" by {self.manager} {ago(self.when, now) if self.when else ''}".rstrip() if self.manager else ""
        if self.what == "missing":
            return f"{self.ref}  {f'{self.path} is' if self.path else 'is'} missing"
        if self.what == "unknown":
            return f"{self.ref}  could not be compared: {self.reason}"
        if self.what == "taken":
            return f"{self.ref}  {self.path}: as it should be — taken over{by}"
        if self.ref.kind == "Secret" and self.path.startswith("data"):
            shown = f"{self.ref}  {self.path}: the value differs"
        else:
            shown = f"{self.ref}  {self.path}: {_diff.short(self.expected)}, live {_diff.short(self.live)}"
        return f"{shown} — changed{by}" if by else shown


def ago(when: str, now: dt.datetime) -> str:
    """``2 h ago``, by the clock of the reader. Pure."""
    try:
        seconds = max(int((now - dt.datetime.fromisoformat(when)).total_seconds()), 0)
    except (ValueError, TypeError):  # no time, or one without a zone
        return ""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def found(cluster: Cluster, discovery: Discovery, record: Record, kept: list[Kept], parallelism: int) -> list[Drift]:
    """Every difference between the kept objects of the current revision and what lives.

    Fields that others set beside ours are none, and neither are replicas that an autoscaler of the release sets.

    :raises ClusterError: when the cluster cannot be asked.
    """
    secrets = [item for item in kept if item.hashes is not None]
    live = _rollback.live_of(cluster, discovery, secrets, parallelism)
    result: list[Drift] = []
    objects = []
    for item in kept:
        again = restored(item, live.get(ref(item.manifest)), record.key)
        if item.hashes is not None and ref(item.manifest) not in live:
            result.append(Drift(ref(item.manifest), "missing"))
            continue
        result += _values(again, live.get(ref(item.manifest)))
        objects.append(again.manifest)
    objects = [manifest for manifest, _version in _unserved.moved(discovery, objects)]
    steps = _plan.plan(cluster, discovery, objects, record, parallelism=parallelism, force=True,
                       absent_namespaces=_absent(cluster, objects))  # fmt: skip
    told = {(one.ref, one.path) for one in result}
    for step in steps:
        result += [one for one in _of_step(step, record.key) if (one.ref, one.path) not in told]
    return sorted(result, key=lambda one: (one.ref, one.path))


def _absent(cluster: Cluster, objects: list[Object]) -> set[str]:
    wanted = {str(item["metadata"].get("namespace") or "") for item in objects} - {""}
    return {name for name in wanted if cluster.find(f"/api/v1/namespaces/{name}") is None}


def _values(item: Restored, live: Object | None) -> Iterator[Drift]:
    identity = ref(item.manifest)
    for name in item.missing:
        yield Drift(identity, "missing", f"data.{name}")
    for name in item.moved:
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
    """Fields in which ``live`` is not what a forced apply would make it, each with who wrote it. Pure."""
    ours = _fields.owned(after, FIELD_MANAGER)
    wide = _fields.union(ours, _fields.owned(live, FIELD_MANAGER))
    writers = {
        change["path"]: _who(entry)
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
                manager, when = _who(entry)
                yield Drift(identity, "taken", path, manager=manager, when=when)


def _differences(live: Object, after: Object, fields: Fields, key: bytes) -> list[_diff.Change]:
    if not fields:
        return []
    before, then = (redacted(_fields.visible(side, fields), key) for side in (live, after))
    return _diff.changes(before, then)


def _others(live: Object) -> list[dict[str, Any]]:
    """Other managers' entries, the oldest first, so that the last writer of a field wins."""
    entries = [
        entry for entry in mappings(live, "metadata", "managedFields")
        if mapping(entry, "fieldsV1") and entry.get("manager") != FIELD_MANAGER and entry.get("subresource") != "status"
    ]  # fmt: skip
    return sorted(entries, key=lambda entry: text(entry, "time"))


def _who(entry: dict[str, Any]) -> tuple[str, str]:
    return text(entry, "manager"), text(entry, "time")


def writer(live: Object | None, fields: Fields) -> tuple[str, str]:
    """The last other manager that owns one of ``fields``, and when it wrote; empty when none does. Pure."""
    entries = [entry for entry in _others(live or {}) if shared(entry["fieldsV1"], fields)]
    return _who(entries[-1]) if entries else ("", "")


def shared(left: Fields, right: Fields) -> Fields:
    """Fields in both sets; a leaf owns all below it. Pure."""
    if not left or not right:
        return left or right
    result = {}
    for name in left.keys() & right.keys() - {"."}:
        below = shared(left[name], right[name])
        if below or not left[name] or not right[name]:
            result[name] = below
    return result


def lost(fields: Fields, held: Fields) -> Fields:
    """Fields that are not held. Pure."""
    result = {}
    for name, below in fields.items():
        if name not in held:
            result[name] = below
        elif below and held[name]:
            rest = lost(below, held[name])
            if rest:
                result[name] = rest
    return result


def leaves(fields: Fields, path: str = "") -> Iterator[tuple[str, Fields]]:
    """Each single field with its path: ``spec.replicas``, ``metadata.labels[app.kubernetes.io/name]``. Pure."""
    for name, below in fields.items():
        step = _fields.step(path, name)
        if below:
            yield from ((deeper, {name: field}) for deeper, field in leaves(below, step))
        elif name != ".":
            yield step, {name: {}}


def orphans(cluster: Cluster, discovery: Discovery, record: Record, parallelism: int) -> list[Ref]:
    """Objects that carry the release's label and that its record does not know, where the ApplySet's hints look."""
    hints = record.hints
    labelled = _applyset.members(cluster, discovery, record.id, hints.kinds, hints.namespaces,
                                 group_resources=hints.resources, parallelism=parallelism,
                                 lenient=True)  # fmt: skip
    known = {item.ref for item in record.members}
    ours = (item for item in labelled if _prune.verdict(item, record.id, delete_data=True) != "foreign")
    return sorted({ref(item) for item in ours} - known)
