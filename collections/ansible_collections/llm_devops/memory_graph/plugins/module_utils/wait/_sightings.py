# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Awaited objects that a watch does not show: deleted before it was opened, or while it was broken."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._errors import ClusterError
from .._json import mapping, mappings, text
from ..cluster._cluster import Cluster
from ..kinds._workloads import finished
from ..objects._manifest import Object, Ref

LOOK_AFTER_S = 1.0
"""A watch shows what exists as soon as it is open; an object that it has not shown by then is read by name."""
_FAILURES = frozenset(
    {"BackoffLimitExceeded", "DeadlineExceeded", "PodFailurePolicy", "FailedIndexes", "MaxFailedIndexesExceeded"}
)


class PendingSightings:
    """The objects that each open watch should show and has not shown yet."""

    def __init__(self) -> None:
        self._waits: dict[Any, tuple[float, set[Ref]]] = {}

    def opened(self, watch: Any, refs: Iterable[Ref], now: float) -> None:
        self._waits[watch] = now, set(refs)

    def show(self, watch: Any, identity: Ref) -> None:
        if watch in self._waits:
            self._waits[watch][1].discard(identity)

    def due(self, now: float) -> list[Ref]:
        """Return the objects to read now, each once."""
        over = [watch for watch, (since, _refs) in self._waits.items() if now - since >= LOOK_AFTER_S]
        return [identity for watch in over for identity in sorted(self._waits.pop(watch)[1])]


def read_last(cluster: Cluster, path: str, obj: Object) -> tuple[bool, Object]:
    """Return whether the object exists, and its state; a deleted Job ends as its controller reported in an event.

    :raises ClusterError: when the cluster cannot be read.
    """
    live = cluster.find(path)
    if live is not None:
        return True, {"apiVersion": obj.get("apiVersion"), "kind": obj.get("kind"), **live}
    if text(obj, "kind") != "Job" or finished(obj):
        return False, obj
    uid, namespace = text(obj, "metadata", "uid"), text(obj, "metadata", "namespace")
    try:
        events = list(cluster.list(f"/api/v1/namespaces/{namespace}/events", fields=f"involvedObject.uid={uid}"))
    except ClusterError:  # without the right to read events there is no report
        events = []
    ends = [end for event in events if (end := _end(event))]
    conditions = [*mappings(obj, "status", "conditions"), *ends]
    return False, {**obj, "status": {**mapping(obj, "status"), "conditions": conditions}}


def _end(event: Object) -> Object | None:
    """Return the condition that an event of the Job controller stands for."""
    reason = text(event, "reason")
    if reason == "Completed":
        return {"type": "Complete", "status": "True"}
    if reason in _FAILURES:
        return {"type": "Failed", "status": "True", "reason": reason, "message": text(event, "message")}
    return None
