# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""What the watches have shown of a namespace: objects, pods, ReplicaSets and events, each as last seen. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from .._json import at, integer, mapping, text
from ..objects._manifest import Object, Ref, ref
from ._pods import controller, current_revision, is_current
from ._predicates import deleting, finished, group_of

GONE = "gone"
"""The deletionTimestamp of an object that is not there any more."""
KEPT = (("", "Pod"), ("apps", "ReplicaSet"), ("", "Event"))
Key = tuple[str, ...]


class Evidence:
    """The awaited objects in ``live``, and beside them what explains their state.

    ``deleted`` are those that were deleted, or are about to be, before they came to their end.
    """

    def __init__(self, live: dict[Ref, Object]) -> None:
        self.live = live
        self.deleted = {identity for identity, obj in live.items() if deleting(obj) and not finished(obj)}
        self._kept: dict[str, tuple[Any, Object]] = {}
        self._index: dict[Key, dict[str, Object]] = defaultdict(dict)

    def opened(self, source: Any) -> None:
        """A watch begins anew: forget what it showed, since what is gone meanwhile is not told."""
        for uid in [uid for uid, (shown_by, _obj) in self._kept.items() if shown_by is source]:
            self._forget(uid)

    def note(self, source: Any, event: Object) -> Ref | None:
        """One event of a watch; returns the awaited object that it shows, if it shows one."""
        obj, gone = mapping(event, "object"), at(event, "type") == "DELETED"
        kind = group_of(obj), text(obj, "kind")
        named = text(obj, "apiVersion") and kind[1] and text(obj, "metadata", "name")
        if at(event, "type") not in ("ADDED", "MODIFIED", "DELETED") or not named:
            return None  # a bookmark, or an error after which the watch begins anew
        if kind in KEPT:
            uid = text(obj, "metadata", "uid")
            self._forget(uid)
            if not gone or _failed_pod_of_a_job(obj):
                self._keep(source, uid, obj)
        identity = ref(obj)
        if identity not in self.live:
            return None
        self._see(identity, {**obj, "metadata": {**obj["metadata"], "deletionTimestamp": GONE}} if gone else obj)
        return identity

    def _see(self, identity: Ref, obj: Object) -> None:
        before, self.live[identity] = self.live[identity], obj
        if not deleting(obj):
            self.deleted.discard(identity)
        elif not finished(before) and not (identity.kind == "Job" and finished(obj)):
            # a pod that is deleted while it runs ends because of that, a Job does not
            self.deleted.add(identity)

    def _keep(self, source: Any, uid: str, obj: Object) -> None:
        self._kept[uid] = source, obj
        for key in _keys(obj):
            self._index[key][uid] = obj

    def _forget(self, uid: str) -> None:
        if uid in self._kept:
            for key in _keys(self._kept.pop(uid)[1]):
                self._index[key].pop(uid, None)

    def drop(self, pod: Object) -> None:
        """Forget a pod that was deleted by us."""
        self._forget(text(pod, "metadata", "uid"))

    def pods(self, workload: Object) -> tuple[list[Object], list[Object]]:
        """The workload's pods, those of the present revision and those of earlier ones; without pods that end."""
        mine = [pod for pod in self._of(_key(workload)) if not deleting(pod) or _failed_pod_of_a_job(pod)]
        revision = current_revision(workload, mine, self._sets(workload))
        current = [pod for pod in mine if is_current(workload, pod, revision)]
        return current, [pod for pod in mine if not is_current(workload, pod, revision)]

    def events(self, obj: Object) -> list[Object]:
        """Events about this very object, oldest first."""
        named = self.events_named(*(text(obj, *path) for path in _IDENTITY))
        uid = at(obj, "metadata", "uid")
        return [one for one in named if at(one, "involvedObject", "uid") in (uid, None, "")]

    def events_named(self, kind: str, namespace: str, name: str) -> list[Object]:
        """Events about an object of which only the name is known, oldest first."""
        return sorted(self._of(("event", kind, namespace, name)), key=moment)

    def told(self, workload: Object) -> list[Object]:
        """Events about an object, its ReplicaSets and its present pods, oldest first."""
        current, _former = self.pods(workload)
        of_all = [event for one in [workload, *self._sets(workload), *current] for event in self.events(one)]
        return sorted({text(one, "metadata", "uid"): one for one in of_all}.values(), key=moment)

    def _sets(self, workload: Object) -> list[Object]:
        return self._of(("sets", text(workload, "metadata", "uid")))

    def _of(self, key: Key) -> list[Object]:
        return list(self._index[key].values()) if key in self._index else []


_IDENTITY = (("kind",), ("metadata", "namespace"), ("metadata", "name"))


def _failed_pod_of_a_job(obj: Object) -> bool:
    """Whether it tells why a Job failed, also when both are deleted at once, by ``ttlSecondsAfterFinished: 0``."""
    return text(obj, "status", "phase") == "Failed" and controller(obj).get("kind") == "Job"


def _keys(obj: Object) -> list[Key]:
    """Under what a pod, ReplicaSet or event is looked for."""
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


def moment(event: Object) -> str:
    """When it was last seen, as RFC 3339 text, which sorts."""
    return text(event, "series", "lastObservedTime") or text(event, "lastTimestamp") or text(event, "eventTime")


def times(event: Object) -> int:
    """How often it was seen."""
    return integer(event, "series", "count") or integer(event, "count") or 1
