# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""When an object is ready: one small pure function a kind, from the object alone, in a table.

Custom resources go by the conventions of kstatus (sigs.k8s.io/cli-utils): ``status.observedGeneration``, and the
conditions ``Ready``, ``Available``, ``Reconciling`` and ``Stalled``. A status of another shape says nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from .._json import at, integer, mapping, mappings, text
from ._autoscaling import as_v2, failing_metrics

Object = dict[str, Any]
UNSEEN = "not seen by its controller yet"


class Verdict(NamedTuple):
    """``state`` is ready, progressing or failed; ``reason`` is short enough for a progress line."""

    state: str
    reason: str


def judge(obj: Object) -> Verdict:
    """The verdict on any object; a kind without a rule goes by its conditions, and is ready when it has none."""
    if deleting(obj) and not finished(obj):
        return Verdict("progressing", "being deleted")
    return _RULES.get((group_of(obj), text(obj, "kind")), _by_conditions)(obj)


def group_of(obj: Object) -> str:
    return text(obj, "apiVersion").rpartition("/")[0]


def deleting(obj: Object) -> bool:
    return bool(at(obj, "metadata", "deletionTimestamp"))


def finished(obj: Object) -> bool:
    """Whether a Job or a pod came to its end, after which it may be deleted by a time to live."""
    kind = group_of(obj), text(obj, "kind")
    if kind == ("batch", "Job"):
        return any(condition(obj, end).get("status") == "True" for end in ("Complete", "Failed", "FailureTarget"))
    return kind == ("", "Pod") and text(obj, "status", "phase") in ("Succeeded", "Failed")


def condition(obj: Object, kind: str) -> Object:
    for item in mappings(obj, "status", "conditions"):
        if item.get("type") == kind:
            return item
    return {}


def observed(obj: Object) -> bool:
    """Whether the controller has seen the current spec; its status is about an older one until then."""
    return integer(obj, "status", "observedGeneration") >= integer(obj, "metadata", "generation")


def wanted_replicas(obj: Object) -> int:
    """How many pods a workload shall have; a DaemonSet's number is its controller's count of nodes."""
    if obj.get("kind") == "DaemonSet":
        return integer(obj, "status", "desiredNumberScheduled")
    return integer(obj, "spec", "replicas", default=1)


def _told(item: Object, otherwise: str) -> str:
    return ": ".join(said for key in ("reason", "message") if (said := text(item, key))) or otherwise


def _ready(done: bool, said: str) -> Verdict:
    return Verdict("ready" if done else "progressing", said)


def _deployment(obj: Object) -> Verdict:
    status, wanted = mapping(obj, "status"), wanted_replicas(obj)
    updated, available = integer(status, "updatedReplicas"), integer(status, "availableReplicas")
    if not observed(obj):
        return Verdict("progressing", f"0/{wanted} {UNSEEN}")
    if at(obj, "spec", "paused"):  # its controller only scales it; a rollout comes when it is resumed
        return Verdict("ready", f"{available}/{wanted} ready, paused")
    failed, progress = condition(obj, "ReplicaFailure"), condition(obj, "Progressing")
    if failed.get("status") == "True":
        return Verdict("failed", _told(failed, "pods cannot be created"))
    done = updated >= wanted and available >= wanted and integer(status, "replicas") <= max(updated, wanted)
    said = f"{min(available, updated)}/{wanted} ready"
    if progress.get("reason") == "ProgressDeadlineExceeded" and not done:
        return Verdict("failed", _told(progress, said))
    return _ready(done, said)


def _replica_set(obj: Object) -> Verdict:
    """A ReplicaSet, or the ReplicationController it came from."""
    wanted, failed = wanted_replicas(obj), condition(obj, "ReplicaFailure")
    if not observed(obj):
        return Verdict("progressing", f"0/{wanted} {UNSEEN}")
    if failed.get("status") == "True":
        return Verdict("failed", _told(failed, "pods cannot be created"))
    available = integer(obj, "status", "availableReplicas")
    return _ready(available >= wanted and integer(obj, "status", "replicas") <= wanted, f"{available}/{wanted} ready")


def _stateful_set(obj: Object) -> Verdict:
    status, wanted, strategy = mapping(obj, "status"), wanted_replicas(obj), mapping(obj, "spec", "updateStrategy")
    if not observed(obj):
        return Verdict("progressing", f"0/{wanted} {UNSEEN}")
    ready = integer(status, "availableReplicas", default=integer(status, "readyReplicas"))
    updated = integer(status, "updatedReplicas")
    if status.get("currentRevision") == status.get("updateRevision"):
        updated = max(updated, integer(status, "currentReplicas"))
    total_right = integer(status, "replicas") <= wanted
    if strategy.get("type") == "OnDelete":  # somebody deletes the pods by hand, in their own time
        said = f"{ready}/{wanted} ready" + (f", {wanted - updated} updated when deleted" if updated < wanted else "")
        return _ready(ready >= wanted and total_right, said)
    partition = integer(strategy, "rollingUpdate", "partition")
    due = max(wanted - partition, 0)
    said = f"{ready if due < wanted else min(ready, updated)}/{wanted} ready"
    if due < wanted:
        said += f", {min(updated, due)}/{due} updated (partition {partition})"
    return _ready(updated >= due and ready >= wanted and total_right, said)


def _daemon_set(obj: Object) -> Verdict:
    status, wanted = mapping(obj, "status"), wanted_replicas(obj)
    if not observed(obj):
        return Verdict("progressing", UNSEEN)
    updated, available = integer(status, "updatedNumberScheduled"), integer(status, "numberAvailable")
    if at(obj, "spec", "updateStrategy", "type") == "OnDelete":
        said = f"{available}/{wanted} ready"
        return _ready(
            available >= wanted, said + (f", {wanted - updated} updated when deleted" if updated < wanted else "")
        )
    said = f"{min(available, updated)}/{wanted} ready" if wanted else "0/0 ready, no node may take its pods"
    return _ready(available >= wanted and updated >= wanted, said)


def _job(obj: Object) -> Verdict:
    for kind in ("Failed", "FailureTarget"):  # FailureTarget comes first, while the last pods still end
        failed = condition(obj, kind)
        if failed.get("status") == "True":
            return Verdict("failed", _told(failed, "the job failed"))
    if condition(obj, "Complete").get("status") == "True":
        return Verdict("ready", "complete")
    if at(obj, "spec", "suspend"):
        return Verdict("ready", "suspended")
    if integer(obj, "spec", "parallelism", default=1) == 0:  # until somebody raises it, as with suspend
        return Verdict("ready", "no pods (parallelism 0)")
    said = f"{integer(obj, 'status', 'succeeded')}/{integer(obj, 'spec', 'completions') or 1} complete"
    failures = integer(obj, "status", "failed")
    return Verdict("progressing", said + (f", {failures} failed" if failures else ""))


def _cron_job(obj: Object) -> Verdict:
    """Nothing to wait for: its first Job comes with the schedule."""
    return Verdict("ready", "suspended" if at(obj, "spec", "suspend") else "")


def _pod(obj: Object) -> Verdict:
    phase = text(obj, "status", "phase")
    if phase == "Failed":
        return Verdict("failed", _told(mapping(obj, "status"), "the pod failed"))
    if phase == "Succeeded":
        return Verdict("ready", "succeeded")
    ready = condition(obj, "Ready").get("status") == "True"
    return Verdict("ready", "ready") if ready else Verdict("progressing", "not ready")


def _claim(obj: Object) -> Verdict:
    phase = text(obj, "status", "phase") or "Pending"
    if phase == "Lost":
        return Verdict("failed", "its volume is lost")
    return _ready(phase == "Bound", phase.lower())


def _addresses(obj: Object) -> str:
    ingress = mappings(obj, "status", "loadBalancer", "ingress")
    return ", ".join(said for one in ingress if (said := text(one, "ip") or text(one, "hostname")))


def _service(obj: Object) -> Verdict:
    if at(obj, "spec", "type") != "LoadBalancer":
        return Verdict("ready", "")
    if at(obj, "spec", "externalIPs"):  # somebody routes them to the nodes: no controller needs to find an address
        return Verdict("ready", "external addresses")
    addresses = _addresses(obj)
    if addresses:
        return Verdict("ready", addresses)
    # a controller that takes it up leaves a finalizer or a condition before there is an address
    taken_up = at(obj, "metadata", "finalizers") or at(obj, "status", "conditions")
    return Verdict("progressing", "no load balancer address yet" + ("" if taken_up else f": {UNSEEN}"))


def _ingress(obj: Object) -> Verdict:
    """Ready as soon as it is stored, as for kubectl, Helm and kapp: many controllers, such as those behind a NodePort
    or outside of the cluster, never write an address, so waiting for one would fail what works."""
    return Verdict("ready", _addresses(obj))


def _namespace(obj: Object) -> Verdict:
    phase = text(obj, "status", "phase")
    return _ready(phase == "Active", phase.lower())


def _crd(obj: Object) -> Verdict:
    names = condition(obj, "NamesAccepted")
    if names.get("status") == "False" and names.get("reason") != "NotAccepted":
        return Verdict("failed", _told(names, "its names are taken"))
    done = condition(obj, "Established").get("status") == "True"
    return _ready(done, "established" if done else "establishing")


def _api_service(obj: Object) -> Verdict:
    available = condition(obj, "Available")
    if available.get("status") == "True":
        return Verdict("ready", "available")
    if available.get("reason") == "ServiceNotFound":  # in the order of kinds, the Service is there by now
        return Verdict("failed", _told(available, "not available"))
    return Verdict("progressing", _told(available, UNSEEN))


def _autoscaler(obj: Object) -> Verdict:
    obj = as_v2(obj)
    able = condition(obj, "AbleToScale")
    if not able:
        return Verdict("progressing", UNSEEN)
    if able.get("status") != "True":
        return Verdict("progressing", _told(able, "cannot scale"))
    # without metrics an autoscaler only holds still, and fresh pods have none for a minute
    active, failing = condition(obj, "ScalingActive"), ", ".join(failing_metrics(obj))
    if active.get("status") == "False":
        said = f"holds still: {text(active, 'reason')}"
        return Verdict("ready", f"{said} ({failing})" if failing else said)
    return Verdict("ready", f"scales up only: no value of {failing}" if failing else "scales")


def _disruption_budget(obj: Object) -> Verdict:
    return Verdict("ready", "") if observed(obj) else Verdict("progressing", UNSEEN)


def _outdated(said: Object, generation: int) -> bool:
    """Whether a status or condition names an earlier generation; one that is no number, such as a hash, names none."""
    return integer(said, "observedGeneration", default=generation) < generation


def _by_conditions(obj: Object) -> Verdict:
    generation = integer(obj, "metadata", "generation")
    if _outdated(mapping(obj, "status"), generation):
        return Verdict("progressing", UNSEEN)
    stalled, moving = condition(obj, "Stalled"), condition(obj, "Reconciling")
    if stalled.get("status") == "True":
        return Verdict("failed", _told(stalled, "stalled"))
    if moving.get("status") == "True":
        return Verdict("progressing", _told(moving, "reconciling"))
    settled = condition(obj, "Ready") or condition(obj, "Available")
    if not settled:
        awaited = text(obj, "kind") in _ALWAYS_CONDITIONED.get(group_of(obj), ())
        return Verdict("progressing", UNSEEN) if awaited else Verdict("ready", "")
    if settled.get("observedGeneration") and _outdated(settled, generation):
        return Verdict("progressing", UNSEEN)
    if settled.get("status") == "True":
        return Verdict("ready", "")
    return Verdict("progressing", _told(settled, "not ready"))


# Operators that write Ready on every object of these kinds, so that none yet means that they have not looked at it.
_ALWAYS_CONDITIONED: dict[str, frozenset[str]] = {
    "external-secrets.io": frozenset({"ExternalSecret", "ClusterExternalSecret", "SecretStore", "ClusterSecretStore"}),
    "cert-manager.io": frozenset({"Certificate", "Issuer", "ClusterIssuer"}),
    "kafka.strimzi.io": frozenset({"Kafka", "KafkaTopic", "KafkaUser"}),
}

_RULES: dict[tuple[str, str], Callable[[Object], Verdict]] = {
    ("apps", "Deployment"): _deployment,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("apps", "ReplicaSet"): _replica_set,
    ("batch", "Job"): _job,
    ("batch", "CronJob"): _cron_job,
    ("", "Pod"): _pod,
    ("", "ReplicationController"): _replica_set,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "Service"): _service,
    ("", "Namespace"): _namespace,
    ("networking.k8s.io", "Ingress"): _ingress,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _crd,
    ("apiregistration.k8s.io", "APIService"): _api_service,
    ("autoscaling", "HorizontalPodAutoscaler"): _autoscaler,
    ("policy", "PodDisruptionBudget"): _disruption_budget,
}
