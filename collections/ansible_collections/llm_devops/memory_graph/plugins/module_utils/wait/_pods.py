# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The pods of a workload, and those of the revision that is rolled out. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from .._json import at, integer, mapping, mappings, text
from ..kinds._kinds import is_workload, judge
from ..kinds._verdict import Object
from ..kinds._workloads import desired_replicas

REVISION = "deployment.kubernetes.io/revision"
TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"  # still what a DaemonSet's controller goes by


def controller(obj: Object) -> Object:
    """Return the owner reference that controls an object, or an empty one."""
    return next((owner for owner in mappings(obj, "metadata", "ownerReferences") if owner.get("controller")), {})


def revision_of(pod: Object) -> str:
    """Return the label by which a pod names the revision of its workload."""
    labels = ("pod-template-hash", "pod-template-generation", "controller-revision-hash")
    return next((revision for label in labels if (revision := text(pod, "metadata", "labels", label))), "")


def current_revision(workload: Object, pods: Iterable[Object], replica_sets: Iterable[Object]) -> str:
    """Return the revision that is rolled out now, empty where a workload has no revisions.

    Without ReplicaSets to read, a Deployment's newest pod tells.
    """
    kind, annotations = workload["kind"], mapping(workload, "metadata", "annotations")
    if kind == "StatefulSet":
        return text(workload, "status", "updateRevision")
    if kind == "DaemonSet":
        return text(annotations, TEMPLATE_GENERATION)
    if kind != "Deployment":
        return ""
    for replica_set in replica_sets:
        number = at(replica_set, "metadata", "annotations", REVISION)
        if controller(replica_set).get("uid") == at(workload, "metadata", "uid") and number == annotations.get(
            REVISION
        ):
            return text(replica_set, "metadata", "labels", "pod-template-hash")
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
    """Return how many ready pods of earlier revisions serve, as ``2/3`` of the desired; empty when none does."""
    ready = sum(judge(pod).state == "ready" for pod in former)
    return f"{ready}/{desired_replicas(workload)}" if ready else ""


def pod_specs(manifest: Object) -> list[Object]:
    """Return the pod spec of a workload that gets pods by itself: none of a CronJob, or of one scaled to nothing."""
    spec = mapping(manifest, "spec")
    none = spec.get("suspend") or spec.get("replicas") == 0 or spec.get("parallelism") == 0
    if not is_workload(manifest) or none:
        return []
    return [spec if manifest["kind"] == "Pod" else mapping(spec, "template", "spec")]


def claims_of(pod_spec: Object) -> list[str]:
    """Return the names of the PersistentVolumeClaims that a pod mounts."""
    claims = (text(volume, "persistentVolumeClaim", "claimName") for volume in mappings(pod_spec, "volumes"))
    return [claim for claim in claims if claim]


def unproven(workload: Object, before: Object | None) -> bool:
    """Whether new pods count as ready the moment their program starts, even if it ends right after.

    They do where no container has a readiness probe and the workload has no minReadySeconds.
    """
    spec, specs = mapping(workload, "spec"), pod_specs(workload)
    if not specs or workload["kind"] == "Job" or spec.get("minReadySeconds") or spec.get("paused"):
        return False
    same_template = before is not None and at(before, "spec", "template") == spec.get("template")
    return not same_template and not any(
        "readinessProbe" in container for container in mappings(specs[0], "containers")
    )
