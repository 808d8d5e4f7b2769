# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A cache of what watches have shown of a namespace: objects, pods, ReplicaSets and events as last seen. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from .._json import at, integer, mapping, text
from ..kinds._verdict import deleting, group_of
from ..kinds._workloads import finished
from ..objects._manifest import Object, Ref, ref
from ._pods import controller, current_revision, is_current

DELETED = "gone"
"""The deletionTimestamp of an object that no longer exists."""
CACHED_KINDS = (("", "Pod"), ("apps", "ReplicaSet"), ("", "Event"))
Key = tuple[str, ...]


class WatchCache:
    """The awaited objects in ``live``, with the pods, ReplicaSets and events that explain their state.

    ``deleted`` are those that were deleted, or are about to be, before they came to their end.
    """

    def __init__(self, live: dict[Ref, Object]) -> None:
        self.live = live
        self.deleted = {identity for identity, obj in live.items() if deleting(obj) and not finished(obj)}
        self._cached: dict[str, tuple[Any, Object]] = {}
        self._index: dict[Key, dict[str, Object]] = defaultdict(dict)

    def opened(self, source: Any) -> None:
        """Forget what a watch showed before it began anew: it does not report what was deleted meanwhile."""
        for uid in [uid for uid, (shown_by, _obj) in self._cached.items() if shown_by is source]:
            self._remove(uid)

    def update(self, source: Any, event: Object) -> Ref | None:
        """Take in one event of a watch, and return the awaited object that it shows, if it shows one."""
        obj, is_deleted = mapping(event, "object"), at(event, "type") == "DELETED"
        kind = group_of(obj), text(obj, "kind")
        is_named = text(obj, "apiVersion") and kind[1] and text(obj, "metadata", "name")
        if at(event, "type") not in ("ADDED", "MODIFIED", "DELETED") or not is_named:
            return None  # a bookmark, or an error after which the watch begins anew
        if kind in CACHED_KINDS:
            uid = text(obj, "metadata", "uid")
            self._remove(uid)
            if not is_deleted or _failed_pod_of_a_job(obj):
                self._add(source, uid, obj)
        identity = ref(obj)
        if identity not in self.live:
            return None
        self._replace(
            identity, {**obj, "metadata": {**obj["metadata"], "deletionTimestamp": DELETED}} if is_deleted else obj
        )
        return identity

    def _replace(self, identity: Ref, obj: Object) -> None:
        before, self.live[identity] = self.live[identity], obj
        if not deleting(obj):
            self.deleted.discard(identity)
        elif not finished(before) and not (identity.kind == "Job" and finished(obj)):
            # a pod that is deleted while it runs ends because of that, a Job does not
            self.deleted.add(identity)

    def _add(self, source: Any, uid: str, obj: Object) -> None:
        self._cached[uid] = source, obj
        for key in _keys(obj):
            self._index[key][uid] = obj

    def _remove(self, uid: str) -> None:
        if uid in self._cached:
            for key in _keys(self._cached.pop(uid)[1]):
                self._index[key].pop(uid, None)

    def remove_pod(self, pod: Object) -> None:
        """Forget a pod that we deleted."""
        self._remove(text(pod, "metadata", "uid"))

    def pods(self, workload: Object) -> tuple[list[Object], list[Object]]:
        """Return the workload's pods of the present revision and those of earlier ones, without pods that end."""
        mine = [pod for pod in self._of(_key(workload)) if not deleting(pod) or _failed_pod_of_a_job(pod)]
        revision = current_revision(workload, mine, self._sets(workload))
        current = [pod for pod in mine if is_current(workload, pod, revision)]
        return current, [pod for pod in mine if not is_current(workload, pod, revision)]

    def events(self, obj: Object) -> list[Object]:
        """Return the events about this very object, oldest first."""
        events = self.events_named(*(text(obj, *path) for path in _IDENTITY))
        uid = at(obj, "metadata", "uid")
        return [event for event in events if at(event, "involvedObject", "uid") in (uid, None, "")]

    def events_named(self, kind: str, namespace: str, name: str) -> list[Object]:
        """Return the events about an object by its name, oldest first."""
        return sorted(self._of(("event", kind, namespace, name)), key=last_seen)

    def related_events(self, workload: Object) -> list[Object]:
        """Return the events about an object, its ReplicaSets and its present pods, oldest first."""
        current, _former = self.pods(workload)
        of_all = [event for event in [workload, *self._sets(workload), *current] for event in self.events(event)]
        return sorted({text(event, "metadata", "uid"): event for event in of_all}.values(), key=last_seen)

    def _sets(self, workload: Object) -> list[Object]:
        return self._of(("sets", text(workload, "metadata", "uid")))

    def _of(self, key: Key) -> list[Object]:
        return list(self._index[key].values()) if key in self._index else []


_IDENTITY = (("kind",), ("metadata", "namespace"), ("metadata", "name"))


def _failed_pod_of_a_job(obj: Object) -> bool:
    """Whether it explains a failed Job, also when both are deleted at once, by ``ttlSecondsAfterFinished: 0``."""
    return text(obj, "status", "phase") == "Failed" and controller(obj).get("kind") == "Job"


def _keys(obj: Object) -> list[Key]:
    """Return the keys of the index under which a pod, ReplicaSet or event is found."""
    owner = controller(obj)
    namespace, name = text(obj, "metadata", "namespace"), text(obj, "metadata", "name")
    if obj["kind"] == "Event":
        about = mapping(obj, "involvedObject")
        return [("event", text(about, "kind"), text(about, "namespace"), text(about, "name"))]
    if obj["kind"] == "ReplicaSet":
        return [("sets", text(owner, "uid"))]
    keys: list[Key] = [("pod", namespace, name), ("owner", text(owner, "uid"))]
    if owner.get("kind") == "ReplicaSet":  # which a Deployment names after the hash of its template
        mark = text(obj, "metadata", "labels", "pod-template-hash")
        keys.append(("deployment", namespace, text(owner, "name").removesuffix(f"-{mark}")))
    return keys


def _key(workload: Object) -> Key:
    if workload["kind"] in ("Pod", "Deployment"):
        return workload["kind"].lower(), text(workload, "metadata", "namespace"), text(workload, "metadata", "name")
    return "owner", text(workload, "metadata", "uid")


def last_seen(event: Object) -> str:
    """Return when an event was last seen, as RFC 3339 text, which sorts."""
    return text(event, "series", "lastObservedTime") or text(event, "lastTimestamp") or text(event, "eventTime")


def count(event: Object) -> int:
    """Return how often an event was seen."""
    return integer(event, "series", "count") or integer(event, "count") or 1
