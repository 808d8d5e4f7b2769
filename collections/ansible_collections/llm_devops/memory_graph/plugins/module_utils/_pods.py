# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Which pods are a workload's, and which of them are of the revision that is rolled out. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ._predicates import group_of, judge, wanted_replicas

Object = dict[str, Any]
REVISION = "deployment.kubernetes.io/revision"
TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"  # still what a DaemonSet's controller goes by
WORKLOADS = {
    "apps": frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"}),
    "batch": frozenset({"Job"}),
    "": frozenset({"Pod"}),
}


def is_workload(obj: Object) -> bool:
    """Whether the object is a pod, or runs pods we wait for."""
    return obj.get("kind") in WORKLOADS.get(group_of(obj), ())


def controller(obj: Object) -> Object:
    """The owner reference that controls an object, or an empty one."""
    return next((dict(one) for one in obj["metadata"].get("ownerReferences") or [] if one.get("controller")), {})


def revision_of(pod: Object) -> str:
    """What marks a pod with the revision of its workload."""
    labels = pod["metadata"].get("labels") or {}
    marks = ("pod-template-hash", "pod-template-generation", "controller-revision-hash")
    return next((str(labels[mark]) for mark in marks if labels.get(mark)), "")


def current_revision(workload: Object, pods: Iterable[Object], replica_sets: Iterable[Object]) -> str:
    """The mark of the pods that are rolled out now, empty where a workload has no revisions.

    Without ReplicaSets to read, a Deployment's newest pod tells.
    """
    metadata, kind = workload["metadata"], workload["kind"]
    annotations = metadata.get("annotations") or {}
    if kind == "StatefulSet":
        return str((workload.get("status") or {}).get("updateRevision") or "")
    if kind == "DaemonSet":
        return str(annotations.get(TEMPLATE_GENERATION) or "")
    if kind != "Deployment":
        return ""
    for one in replica_sets:
        numbered = (one["metadata"].get("annotations") or {}).get(REVISION)
        if controller(one).get("uid") == metadata.get("uid") and numbered == annotations.get(REVISION):
            return str((one["metadata"].get("labels") or {}).get("pod-template-hash") or "")
    newest = max(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp")), default=None)
    return revision_of(newest) if newest else ""


def is_current(workload: Object, pod: Object, revision: str) -> bool:
    """Whether the pod stays: it is of the present revision, or the update strategy leaves it alone."""
    if not revision or revision_of(pod) == revision:
        return True
    strategy = (workload.get("spec") or {}).get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return True
    partition = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
    return workload["kind"] == "StatefulSet" and _ordinal(pod) < partition


def _ordinal(pod: Object) -> int:
    tail = str(pod["metadata"]["name"]).rpartition("-")[2]
    return int(tail) if tail.isdigit() else 0


def serving(workload: Object, former: Iterable[Object]) -> str:
    """How many ready pods of earlier revisions are left of those wanted, as ``2/3``; empty when none is."""
    ready = sum(judge(pod).state == "ready" for pod in former)
    return f"{ready}/{wanted_replicas(workload)}" if ready else ""


def pod_specs(manifest: Object) -> list[Object]:
    """The pod spec of a workload that will have pods by itself; none of a CronJob, or of one scaled to nothing."""
    spec = manifest.get("spec") or {}
    if not is_workload(manifest) or spec.get("suspend") or spec.get("replicas") == 0:
        return []
    return [spec if manifest["kind"] == "Pod" else (spec.get("template") or {}).get("spec") or {}]


def claims_of(pod_spec: Object) -> list[str]:
    """Names of the PersistentVolumeClaims a pod mounts."""
    claims = [volume.get("persistentVolumeClaim") or {} for volume in pod_spec.get("volumes") or []]
    return [str(one["claimName"]) for one in claims if one.get("claimName")]


def unproven(workload: Object, before: Object | None) -> bool:
    """Whether new pods count as ready the moment their program starts, also when it is about to end.

    So it is where no container has a readiness probe and the workload has no minReadySeconds.
    """
    spec, specs = workload.get("spec") or {}, pod_specs(workload)
    if not specs or workload["kind"] == "Job" or spec.get("minReadySeconds") or spec.get("paused"):
        return False
    same = before is not None and (before.get("spec") or {}).get("template") == spec.get("template")
    return not same and not any("readinessProbe" in one for one in specs[0].get("containers") or [])
