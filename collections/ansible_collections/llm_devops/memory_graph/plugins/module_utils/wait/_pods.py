# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Which pods are a workload's, and which of them are of the revision that is rolled out. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._json import at, integer, mapping, mappings, text
from ._predicates import group_of, judge, wanted_replicas

Object = dict[str, Any]
REVISION = "deployment.kubernetes.io/revision"
TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"  # still what a DaemonSet's controller goes by
WORKLOADS = {
    "apps": frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"}),
    "batch": frozenset({"Job"}),
    "": frozenset({"Pod", "ReplicationController"}),
}


def is_workload(obj: Object) -> bool:
    """Whether the object is a pod, or runs pods we wait for."""
    return text(obj, "kind") in WORKLOADS.get(group_of(obj), ())


def controller(obj: Object) -> Object:
    """The owner reference that controls an object, or an empty one."""
    return next((one for one in mappings(obj, "metadata", "ownerReferences") if one.get("controller")), {})


def revision_of(pod: Object) -> str:
    """What marks a pod with the revision of its workload."""
    marks = ("pod-template-hash", "pod-template-generation", "controller-revision-hash")
    return next((found for mark in marks if (found := text(pod, "metadata", "labels", mark))), "")


def current_revision(workload: Object, pods: Iterable[Object], replica_sets: Iterable[Object]) -> str:
    """The mark of the pods that are rolled out now, empty where a workload has no revisions.

    Without ReplicaSets to read, a Deployment's newest pod tells.
    """
    kind, annotations = workload["kind"], mapping(workload, "metadata", "annotations")
    if kind == "StatefulSet":
        return text(workload, "status", "updateRevision")
    if kind == "DaemonSet":
        return text(annotations, TEMPLATE_GENERATION)
    if kind != "Deployment":
        return ""
    for one in replica_sets:
        numbered = at(one, "metadata", "annotations", REVISION)
        if controller(one).get("uid") == at(workload, "metadata", "uid") and numbered == annotations.get(REVISION):
            return text(one, "metadata", "labels", "pod-template-hash")
    newest = max(pods, key=lambda pod: text(pod, "metadata", "creationTimestamp"), default=None)
    return revision_of(newest) if newest else ""


def is_current(workload: Object, pod: Object, revision: str) -> bool:
    """Whether the pod stays: it is of the present revision, or the update strategy leaves it alone."""
    if not revision or revision_of(pod) == revision:
        return True
    spec = mapping(workload, "spec")
    if at(spec, "updateStrategy", "type") == "OnDelete":
        return True
    kept_below = integer(spec, "ordinals", "start") + integer(spec, "updateStrategy", "rollingUpdate", "partition")
    return workload["kind"] == "StatefulSet" and _ordinal(pod) < kept_below


def _ordinal(pod: Object) -> int:
    return integer(text(pod, "metadata", "name").rpartition("-")[2])


def serving(workload: Object, former: Iterable[Object]) -> str:
    """How many ready pods of earlier revisions are left of those wanted, as ``2/3``; empty when none is."""
    ready = sum(judge(pod).state == "ready" for pod in former)
    return f"{ready}/{wanted_replicas(workload)}" if ready else ""


def pod_specs(manifest: Object) -> list[Object]:
    """The pod spec of a workload that will have pods by itself; none of a CronJob, or of one scaled to nothing."""
    spec = mapping(manifest, "spec")
    none = spec.get("suspend") or spec.get("replicas") == 0 or spec.get("parallelism") == 0
    if not is_workload(manifest) or none:
        return []
    return [spec if manifest["kind"] == "Pod" else mapping(spec, "template", "spec")]


def claims_of(pod_spec: Object) -> list[str]:
    """Names of the PersistentVolumeClaims a pod mounts."""
    claims = (text(volume, "persistentVolumeClaim", "claimName") for volume in mappings(pod_spec, "volumes"))
    return [claim for claim in claims if claim]


def unproven(workload: Object, before: Object | None) -> bool:
    """Whether new pods count as ready the moment their program starts, also when it is about to end.

    So it is where no container has a readiness probe and the workload has no minReadySeconds.
    """
    spec, specs = mapping(workload, "spec"), pod_specs(workload)
    if not specs or workload["kind"] == "Job" or spec.get("minReadySeconds") or spec.get("paused"):
        return False
    same = before is not None and at(before, "spec", "template") == spec.get("template")
    return not same and not any("readinessProbe" in one for one in mappings(specs[0], "containers"))
