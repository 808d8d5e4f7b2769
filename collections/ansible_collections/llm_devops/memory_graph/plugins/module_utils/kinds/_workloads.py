# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""When workloads are ready: Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, CronJob and Pod. Pure."""

from __future__ import annotations

from .._json import at, integer, mapping, text
from ._verdict import UNSEEN, Object, Verdict, condition, explanation, group_of, observed, ready_if


def desired_replicas(obj: Object) -> int:
    """Return how many pods a workload should have; a DaemonSet's number is its controller's count of nodes."""
    if obj.get("kind") == "DaemonSet":
        return integer(obj, "status", "desiredNumberScheduled")
    return integer(obj, "spec", "replicas", default=1)


def finished(obj: Object) -> bool:
    """Whether a Job or a pod came to its end, after which it may be deleted by a time to live."""
    kind = group_of(obj), text(obj, "kind")
    if kind == ("batch", "Job"):
        return any(condition(obj, end).get("status") == "True" for end in ("Complete", "Failed", "FailureTarget"))
    return kind == ("", "Pod") and text(obj, "status", "phase") in ("Succeeded", "Failed")


def deployment(obj: Object) -> Verdict:
    status, desired = mapping(obj, "status"), desired_replicas(obj)
    updated, available = integer(status, "updatedReplicas"), integer(status, "availableReplicas")
    if not observed(obj):
        return Verdict("progressing", f"0/{desired} {UNSEEN}")
    if at(obj, "spec", "paused"):  # its controller only scales it; a rollout comes when it is resumed
        return Verdict("ready", f"{available}/{desired} ready, paused")
    failure, progress = condition(obj, "ReplicaFailure"), condition(obj, "Progressing")
    if failure.get("status") == "True":
        return Verdict("failed", explanation(failure, "pods cannot be created"))
    done = updated >= desired and available >= desired and integer(status, "replicas") <= max(updated, desired)
    count = f"{min(available, updated)}/{desired} ready"
    if progress.get("reason") == "ProgressDeadlineExceeded" and not done:
        return Verdict("failed", explanation(progress, count))
    return ready_if(done, count)


def replica_set(obj: Object) -> Verdict:
    """The verdict on a ReplicaSet, or on the ReplicationController it came from."""
    desired, failure = desired_replicas(obj), condition(obj, "ReplicaFailure")
    if not observed(obj):
        return Verdict("progressing", f"0/{desired} {UNSEEN}")
    if failure.get("status") == "True":
        return Verdict("failed", explanation(failure, "pods cannot be created"))
    available = integer(obj, "status", "availableReplicas")
    done = available >= desired and integer(obj, "status", "replicas") <= desired
    return ready_if(done, f"{available}/{desired} ready")


def stateful_set(obj: Object) -> Verdict:
    status, desired, strategy = mapping(obj, "status"), desired_replicas(obj), mapping(obj, "spec", "updateStrategy")
    if not observed(obj):
        return Verdict("progressing", f"0/{desired} {UNSEEN}")
    ready = integer(status, "availableReplicas", default=integer(status, "readyReplicas"))
    updated = integer(status, "updatedReplicas")
    if status.get("currentRevision") == status.get("updateRevision"):
        updated = max(updated, integer(status, "currentReplicas"))
    no_surplus = integer(status, "replicas") <= desired
    if strategy.get("type") == "OnDelete":  # somebody deletes the pods by hand, in their own time
        outdated = f", {desired - updated} updated when deleted" if updated < desired else ""
        return ready_if(ready >= desired and no_surplus, f"{ready}/{desired} ready{outdated}")
    partition = integer(strategy, "rollingUpdate", "partition")
    due = max(desired - partition, 0)
    count = f"{ready if due < desired else min(ready, updated)}/{desired} ready"
    if due < desired:
        count += f", {min(updated, due)}/{due} updated (partition {partition})"
    return ready_if(updated >= due and ready >= desired and no_surplus, count)


def daemon_set(obj: Object) -> Verdict:
    status, desired = mapping(obj, "status"), desired_replicas(obj)
    if not observed(obj):
        return Verdict("progressing", UNSEEN)
    updated, available = integer(status, "updatedNumberScheduled"), integer(status, "numberAvailable")
    if at(obj, "spec", "updateStrategy", "type") == "OnDelete":
        outdated = f", {desired - updated} updated when deleted" if updated < desired else ""
        return ready_if(available >= desired, f"{available}/{desired} ready{outdated}")
    count = f"{min(available, updated)}/{desired} ready" if desired else "0/0 ready, no node may take its pods"
    return ready_if(available >= desired and updated >= desired, count)


def job(obj: Object) -> Verdict:
    for kind in ("Failed", "FailureTarget"):  # FailureTarget comes first, while the last pods still end
        failure = condition(obj, kind)
        if failure.get("status") == "True":
            return Verdict("failed", explanation(failure, "the job failed"))
    if condition(obj, "Complete").get("status") == "True":
        return Verdict("ready", "complete")
    if at(obj, "spec", "suspend"):
        return Verdict("ready", "suspended")
    if integer(obj, "spec", "parallelism", default=1) == 0:  # until somebody raises it, as with suspend
        return Verdict("ready", "no pods (parallelism 0)")
    count = f"{integer(obj, 'status', 'succeeded')}/{integer(obj, 'spec', 'completions') or 1} complete"
    failures = integer(obj, "status", "failed")
    return Verdict("progressing", count + (f", {failures} failed" if failures else ""))


def cron_job(obj: Object) -> Verdict:
    """Always ready: its first Job comes with the schedule."""
    return Verdict("ready", "suspended" if at(obj, "spec", "suspend") else "")


def pod(obj: Object) -> Verdict:
    phase = text(obj, "status", "phase")
    if phase == "Failed":
        return Verdict("failed", explanation(mapping(obj, "status"), "the pod failed"))
    if phase == "Succeeded":
        return Verdict("ready", "succeeded")
    ready = condition(obj, "Ready").get("status") == "True"
    return Verdict("ready", "ready") if ready else Verdict("progressing", "not ready")
