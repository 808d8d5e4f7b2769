# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""When an object is ready: one small pure function a kind, from the object alone, in a table.

Custom resources go by the conventions of kstatus (sigs.k8s.io/cli-utils): ``status.observedGeneration``, and the
conditions ``Ready``, ``Available``, ``Reconciling`` and ``Stalled``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

Object = dict[str, Any]
UNSEEN = "not seen by its controller yet"


class Verdict(NamedTuple):
    """``state`` is ready, progressing or failed; ``reason`` is short enough for a progress line."""

    state: str
    reason: str


def judge(obj: Object) -> Verdict:
    """The verdict on any object; a kind without a rule goes by its conditions, and is ready when it has none."""
    if (obj.get("metadata") or {}).get("deletionTimestamp"):
        return Verdict("progressing", "being deleted")
    return _RULES.get((group_of(obj), str(obj.get("kind"))), _by_conditions)(obj)


def group_of(obj: Object) -> str:
    return str(obj.get("apiVersion") or "").rpartition("/")[0]


def condition(obj: Object, kind: str) -> Object:
    for item in (obj.get("status") or {}).get("conditions") or []:
        if item.get("type") == kind:
            return dict(item)
    return {}


def observed(obj: Object) -> bool:
    """Whether the controller has seen the current spec; its status is about an older one until then."""
    return int((obj.get("status") or {}).get("observedGeneration") or 0) >= int(obj["metadata"].get("generation") or 0)


def wanted_replicas(obj: Object) -> int:
    """How many pods a workload shall have; a DaemonSet's number is its controller's count of nodes."""
    if obj.get("kind") == "DaemonSet":
        return int((obj.get("status") or {}).get("desiredNumberScheduled") or 0)
    replicas = (obj.get("spec") or {}).get("replicas")
    return 1 if replicas is None else int(replicas)


def _told(item: Object, otherwise: str) -> str:
    return ": ".join(str(item[key]) for key in ("reason", "message") if item.get(key)) or otherwise


def _ready(done: bool, text: str) -> Verdict:
    return Verdict("ready" if done else "progressing", text)


def _deployment(obj: Object) -> Verdict:
    status, wanted = obj.get("status") or {}, wanted_replicas(obj)
    updated, available = int(status.get("updatedReplicas") or 0), int(status.get("availableReplicas") or 0)
    if not observed(obj):
        return Verdict("progressing", f"0/{wanted} {UNSEEN}")
    if (obj.get("spec") or {}).get("paused"):  # its controller only scales it; a rollout comes when it is resumed
        return Verdict("ready", f"{available}/{wanted} ready, paused")
    failed, progress = condition(obj, "ReplicaFailure"), condition(obj, "Progressing")
    if failed.get("status") == "True":
        return Verdict("failed", _told(failed, "pods cannot be created"))
    done = updated >= wanted and available >= wanted and int(status.get("replicas") or 0) <= max(updated, wanted)
    text = f"{min(available, updated)}/{wanted} ready"
    if progress.get("reason") == "ProgressDeadlineExceeded" and not done:
        return Verdict("failed", _told(progress, text))
    return _ready(done, text)


def _replica_set(obj: Object) -> Verdict:
    status, wanted = obj.get("status") or {}, wanted_replicas(obj)
    failed = condition(obj, "ReplicaFailure")
    if not observed(obj):
        return Verdict("progressing", f"0/{wanted} {UNSEEN}")
    if failed.get("status") == "True":
        return Verdict("failed", _told(failed, "pods cannot be created"))
    available = int(status.get("availableReplicas") or 0)
    return _ready(available >= wanted and int(status.get("replicas") or 0) <= wanted, f"{available}/{wanted} ready")


def _update_strategy(obj: Object) -> Object:
    return dict((obj.get("spec") or {}).get("updateStrategy") or {})


def _stateful_set(obj: Object) -> Verdict:
    status, wanted, strategy = obj.get("status") or {}, wanted_replicas(obj), _update_strategy(obj)
    if not observed(obj):
        return Verdict("progressing", f"0/{wanted} {UNSEEN}")
    ready = int(status.get("availableReplicas", status.get("readyReplicas")) or 0)
    updated = int(status.get("updatedReplicas") or 0)
    if status.get("currentRevision") == status.get("updateRevision"):
        updated = max(updated, int(status.get("currentReplicas") or 0))
    total_right = int(status.get("replicas") or 0) <= wanted
    if strategy.get("type") == "OnDelete":  # somebody deletes the pods by hand, in their own time
        text = f"{ready}/{wanted} ready" + (f", {wanted - updated} updated when deleted" if updated < wanted else "")
        return _ready(ready >= wanted and total_right, text)
    partition = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
    due = max(wanted - partition, 0)
    text = f"{ready if due < wanted else min(ready, updated)}/{wanted} ready"
    if due < wanted:
        text += f", {min(updated, due)}/{due} updated (partition {partition})"
    return _ready(updated >= due and ready >= wanted and total_right, text)


def _daemon_set(obj: Object) -> Verdict:
    status, wanted = obj.get("status") or {}, wanted_replicas(obj)
    if not observed(obj):
        return Verdict("progressing", UNSEEN)
    updated, available = int(status.get("updatedNumberScheduled") or 0), int(status.get("numberAvailable") or 0)
    if _update_strategy(obj).get("type") == "OnDelete":
        text = f"{available}/{wanted} ready"
        return _ready(
            available >= wanted, text + (f", {wanted - updated} updated when deleted" if updated < wanted else "")
        )
    text = f"{min(available, updated)}/{wanted} ready" if wanted else "0/0 ready, no node may take its pods"
    return _ready(available >= wanted and updated >= wanted, text)


def _job(obj: Object) -> Verdict:
    status, spec = obj.get("status") or {}, obj.get("spec") or {}
    for kind in ("Failed", "FailureTarget"):  # FailureTarget comes first, while the last pods still end
        failed = condition(obj, kind)
        if failed.get("status") == "True":
            return Verdict("failed", _told(failed, "the job failed"))
    if condition(obj, "Complete").get("status") == "True":
        return Verdict("ready", "complete")
    if spec.get("suspend"):
        return Verdict("ready", "suspended")
    completions = spec.get("completions") or 1
    text = f"{status.get('succeeded') or 0}/{completions} complete"
    return Verdict("progressing", text + (f", {status['failed']} failed" if status.get("failed") else ""))


def _cron_job(obj: Object) -> Verdict:
    """Nothing to wait for: its first Job comes with the schedule."""
    return Verdict("ready", "suspended" if (obj.get("spec") or {}).get("suspend") else "")


def _pod(obj: Object) -> Verdict:
    status = obj.get("status") or {}
    phase = str(status.get("phase") or "Pending")
    if phase == "Failed":
        return Verdict("failed", _told(status, "the pod failed"))
    if phase == "Succeeded":
        return Verdict("ready", "succeeded")
    ready = condition(obj, "Ready").get("status") == "True"
    return Verdict("ready", "ready") if ready else Verdict("progressing", "not ready")


def _claim(obj: Object) -> Verdict:
    phase = (obj.get("status") or {}).get("phase") or "Pending"
    if phase == "Lost":
        return Verdict("failed", "its volume is lost")
    return _ready(phase == "Bound", str(phase).lower())


def _service(obj: Object) -> Verdict:
    if (obj.get("spec") or {}).get("type") != "LoadBalancer":
        return Verdict("ready", "")
    ingress = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    if not ingress:
        return Verdict("progressing", "no load balancer address yet")
    return Verdict("ready", ", ".join(str(one.get("ip") or one.get("hostname")) for one in ingress))


def _ingress(obj: Object) -> Verdict:
    """Ready as soon as it is stored, as for kubectl, Helm and kapp: many controllers, such as those behind a NodePort
    or outside of the cluster, never write an address, so waiting for one would fail what works."""
    ingress = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    return Verdict("ready", ", ".join(str(one.get("ip") or one.get("hostname")) for one in ingress))


def _namespace(obj: Object) -> Verdict:
    phase = (obj.get("status") or {}).get("phase") or ""
    return _ready(phase == "Active", str(phase).lower())


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
    able = condition(obj, "AbleToScale")
    if not able:
        return Verdict("progressing", UNSEEN)
    if able.get("status") != "True":
        return Verdict("progressing", _told(able, "cannot scale"))
    # without metrics an autoscaler only holds still, and fresh pods have none for a minute
    active = condition(obj, "ScalingActive")
    return Verdict("ready", f"holds still: {active['reason']}" if active.get("status") == "False" else "scales")


def _disruption_budget(obj: Object) -> Verdict:
    return Verdict("ready", "") if observed(obj) else Verdict("progressing", UNSEEN)


def _by_conditions(obj: Object) -> Verdict:
    status, generation = obj.get("status") or {}, int((obj.get("metadata") or {}).get("generation") or 0)
    if "observedGeneration" in status and int(status["observedGeneration"] or 0) < generation:
        return Verdict("progressing", UNSEEN)
    stalled, moving = condition(obj, "Stalled"), condition(obj, "Reconciling")
    if stalled.get("status") == "True":
        return Verdict("failed", _told(stalled, "stalled"))
    if moving.get("status") == "True":
        return Verdict("progressing", _told(moving, "reconciling"))
    found = condition(obj, "Ready") or condition(obj, "Available")
    if not found:
        awaited = str(obj.get("kind")) in _ALWAYS_CONDITIONED.get(group_of(obj), ())
        return Verdict("progressing", UNSEEN) if awaited else Verdict("ready", "")
    if int(found.get("observedGeneration") or generation) < generation:
        return Verdict("progressing", UNSEEN)
    return Verdict("ready", "") if found.get("status") == "True" else Verdict("progressing", _told(found, "not ready"))


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
    ("", "PersistentVolumeClaim"): _claim,
    ("", "Service"): _service,
    ("", "Namespace"): _namespace,
    ("networking.k8s.io", "Ingress"): _ingress,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _crd,
    ("apiregistration.k8s.io", "APIService"): _api_service,
    ("autoscaling", "HorizontalPodAutoscaler"): _autoscaler,
    ("policy", "PodDisruptionBudget"): _disruption_budget,
}
