# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""What the watches have shown of a namespace: objects, pods, ReplicaSets and events, each as last seen. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from ._manifest import Object, Ref, ref
from ._pods import controller, current_revision, is_current

KEPT = ("Pod", "ReplicaSet", "Event")
Key = tuple[str, ...]


class Evidence:
    """The awaited objects in ``live``, and beside them what explains their state."""

    def __init__(self, live: dict[Ref, Object]) -> None:
        self.live = live
        self._kept: dict[str, tuple[Any, Object]] = {}
        self._index: dict[Key, dict[str, Object]] = defaultdict(dict)

    def opened(self, source: Any) -> None:
        """A watch begins anew: forget what it showed, since what is gone meanwhile is not told."""
        for uid in [uid for uid, (shown_by, _obj) in self._kept.items() if shown_by is source]:
            self._forget(uid)

    def note(self, source: Any, event: Object) -> None:
        """One event of a watch."""
        obj = event.get("object") or {}
        if event.get("type") not in ("ADDED", "MODIFIED", "DELETED") or "metadata" not in obj:
            return  # a bookmark, or an error after which the watch begins anew
        uid = str(obj["metadata"].get("uid"))
        if obj["kind"] in KEPT:
            self._forget(uid)
            if event["type"] != "DELETED":
                self._keep(source, uid, obj)
        identity = ref(obj)
        if identity in self.live:
            gone = {"deletionTimestamp": "now"} if event["type"] == "DELETED" else {}
            self.live[identity] = {**obj, "metadata": {**obj["metadata"], **gone}}

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
        self._forget(str(pod["metadata"].get("uid")))

    def pods(self, workload: Object) -> tuple[list[Object], list[Object]]:
        """The workload's pods, those of the present revision and those of earlier ones; without pods that end."""
        mine = [pod for pod in self._of(_key(workload)) if not pod["metadata"].get("deletionTimestamp")]
        revision = current_revision(workload, mine, self._sets(workload))
        current = [pod for pod in mine if is_current(workload, pod, revision)]
        return current, [pod for pod in mine if not is_current(workload, pod, revision)]

    def events(self, obj: Object) -> list[Object]:
        """Events about this very object, oldest first."""
        metadata = obj["metadata"]
        named = self.events_named(str(obj["kind"]), str(metadata.get("namespace") or ""), str(metadata["name"]))
        return [one for one in named if one["involvedObject"].get("uid") in (metadata.get("uid"), None, "")]

    def events_named(self, kind: str, namespace: str, name: str) -> list[Object]:
        """Events about an object of which only the name is known, oldest first."""
        return sorted(self._of(("event", kind, namespace, name)), key=moment)

    def told(self, workload: Object) -> list[Object]:
        """Events about an object, its ReplicaSets and its present pods, oldest first."""
        current, _former = self.pods(workload)
        of_all = [event for one in [workload, *self._sets(workload), *current] for event in self.events(one)]
        return sorted({str(one["metadata"]["uid"]): one for one in of_all}.values(), key=moment)

    def _sets(self, workload: Object) -> list[Object]:
        return self._of(("sets", str(workload["metadata"].get("uid"))))

    def _of(self, key: Key) -> list[Object]:
        return list(self._index[key].values()) if key in self._index else []


def _keys(obj: Object) -> list[Key]:
    """Under what a pod, ReplicaSet or event is looked for."""
    metadata, owner = obj["metadata"], controller(obj)
    namespace = str(metadata.get("namespace") or "")
    if obj["kind"] == "Event":
        involved = obj.get("involvedObject") or {}
        return [("event", str(involved.get("kind")), str(involved.get("namespace") or ""), str(involved.get("name")))]
    if obj["kind"] == "ReplicaSet":
        return [("sets", str(owner.get("uid")))]
    keys: list[Key] = [("pod", namespace, str(metadata["name"])), ("owner", str(owner.get("uid")))]
    if owner.get("kind") == "ReplicaSet":  # which a Deployment names after the hash of its template
        mark = str((metadata.get("labels") or {}).get("pod-template-hash"))
        keys.append(("deployment", namespace, str(owner["name"]).removesuffix(f"-{mark}")))
    return keys


def _key(workload: Object) -> Key:
    metadata = workload["metadata"]
    if workload["kind"] in ("Pod", "Deployment"):
        return workload["kind"].lower(), str(metadata.get("namespace") or ""), str(metadata["name"])
    return "owner", str(metadata.get("uid"))


def moment(event: Object) -> str:
    """When it was last seen, as RFC 3339 text, which sorts."""
    series = event.get("series") or {}
    return str(series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime") or "")


def times(event: Object) -> int:
    """How often it was seen."""
    return int((event.get("series") or {}).get("count") or event.get("count") or 1)
