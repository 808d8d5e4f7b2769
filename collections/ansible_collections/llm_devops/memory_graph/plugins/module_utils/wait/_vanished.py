# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Awaited objects that a watch does not show: those that were deleted before it was opened, or while it was broken."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._errors import ClusterError
from .._json import mapping, mappings, text
from ..cluster._cluster import Cluster
from ..objects._manifest import Object, Ref
from ._predicates import finished

LOOK_AFTER_S = 1.0
"""A watch shows what exists as soon as it is open; what it has not shown by then is looked for by name."""
_FAILURES = frozenset(
    {"BackoffLimitExceeded", "DeadlineExceeded", "PodFailurePolicy", "FailedIndexes", "MaxFailedIndexesExceeded"}
)


class Unshown:
    """The objects that each open watch should show and has not shown yet."""

    def __init__(self) -> None:
        self._waits: dict[Any, tuple[float, set[Ref]]] = {}

    def opened(self, watch: Any, refs: Iterable[Ref], now: float) -> None:
        self._waits[watch] = now, set(refs)

    def shown(self, watch: Any, identity: Ref) -> None:
        if watch in self._waits:
            self._waits[watch][1].discard(identity)

    def due(self, now: float) -> list[Ref]:
        """Those to look for now; each is returned once."""
        over = [watch for watch, (since, _refs) in self._waits.items() if now - since >= LOOK_AFTER_S]
        return [identity for watch in over for identity in sorted(self._waits.pop(watch)[1])]


def last_seen(cluster: Cluster, path: str, obj: Object) -> tuple[bool, Object]:
    """Whether the object is there, and as what; a Job that is gone has the end that its controller told in an event.

    :raises ClusterError: when the cluster cannot be asked.
    """
    live = cluster.find(path)
    if live is not None:
        return True, {"apiVersion": obj.get("apiVersion"), "kind": obj.get("kind"), **live}
    if text(obj, "kind") != "Job" or finished(obj):
        return False, obj
    uid, namespace = text(obj, "metadata", "uid"), text(obj, "metadata", "namespace")
    try:
        told = list(cluster.list(f"/api/v1/namespaces/{namespace}/events", fields=f"involvedObject.uid={uid}"))
    except ClusterError:  # without the right to read events nobody can have told us
        told = []
    ends = [end for event in told if (end := _end(event))]
    conditions = [*mappings(obj, "status", "conditions"), *ends]
    return False, {**obj, "status": {**mapping(obj, "status"), "conditions": conditions}}


def _end(event: Object) -> Object | None:
    """The condition that an event of the Job controller stands for."""
    reason = text(event, "reason")
    if reason == "Completed":
        return {"type": "Complete", "status": "True"}
    if reason in _FAILURES:
        return {"type": "Failed", "status": "True", "reason": reason, "message": text(event, "message")}
    return None
