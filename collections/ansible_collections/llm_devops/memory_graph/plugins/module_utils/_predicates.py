# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""When an object is ready: one small pure function a kind, from the object alone, in a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

Object = dict[str, Any]


class Verdict(NamedTuple):
    """``state`` is ready, progressing or failed; ``reason`` is short enough for a progress line."""

    state: str
    reason: str


def judge(obj: Object) -> Verdict:
    """The verdict on any object; a kind without a rule is ready, or goes by its Ready condition when it has one."""
    if (obj.get("metadata") or {}).get("deletionTimestamp"):
        return Verdict("progressing", "being deleted")
    return _RULES.get(str(obj.get("kind")), _by_condition)(obj)


def condition(obj: Object, kind: str) -> Object:
    for item in (obj.get("status") or {}).get("conditions") or []:
        if item.get("type") == kind:
            return dict(item)
    return {}


def observed(obj: Object) -> bool:
    """Whether the controller has seen the current spec; its status is about an older one until then."""
    return int((obj.get("status") or {}).get("observedGeneration") or 0) >= int(obj["metadata"].get("generation") or 0)


def _replicated(obj: Object, wanted: int, updated: int, ready: int, total: int) -> Verdict:
    text = f"{min(ready, updated)}/{wanted} ready"
    if not observed(obj):
        return Verdict("progressing", f"0/{wanted} not seen by its controller yet")
    done = updated >= wanted and ready >= wanted and total <= max(updated, wanted)
    return Verdict("ready" if done else "progressing", text)


def _deployment(obj: Object) -> Verdict:
    status, wanted = obj.get("status") or {}, int(obj["spec"].get("replicas", 1))
    failed = condition(obj, "ReplicaFailure")
    if failed.get("status") == "True" and observed(obj):
        return Verdict("failed", f"{failed.get('reason')}: {failed.get('message')}")
    progress = condition(obj, "Progressing")
    if progress.get("reason") == "ProgressDeadlineExceeded" and observed(obj):
        return Verdict("failed", f"ProgressDeadlineExceeded: {progress.get('message')}")
    return _replicated(
        obj, wanted, status.get("updatedReplicas", 0), status.get("availableReplicas", 0), status.get("replicas", 0)
    )


def _stateful_set(obj: Object) -> Verdict:
    status, wanted = obj.get("status") or {}, int(obj["spec"].get("replicas", 1))
    updated = status.get("updatedReplicas", 0)
    if status.get("currentRevision") == status.get("updateRevision"):
        updated = max(updated, status.get("currentReplicas", 0))
    ready = status.get("availableReplicas", status.get("readyReplicas", 0))
    return _replicated(obj, wanted, updated, ready, status.get("replicas", 0))


def _daemon_set(obj: Object) -> Verdict:
    status = obj.get("status") or {}
    wanted = int(status.get("desiredNumberScheduled", 0))
    return _replicated(obj, wanted, status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0), wanted)


def _job(obj: Object) -> Verdict:
    failed = condition(obj, "Failed")
    if failed.get("status") == "True":
        return Verdict("failed", f"{failed.get('reason')}: {failed.get('message')}")
    status, spec = obj.get("status") or {}, obj["spec"]
    if condition(obj, "Complete").get("status") == "True" or spec.get("suspend"):
        return Verdict("ready", "suspended" if spec.get("suspend") else "complete")
    return Verdict("progressing", f"{status.get('succeeded', 0)}/{spec.get('completions', 1)} complete")


def _pod(obj: Object) -> Verdict:
    phase = (obj.get("status") or {}).get("phase", "Pending")
    if phase == "Failed":
        return Verdict("failed", str(obj["status"].get("message") or obj["status"].get("reason") or "the pod failed"))
    ready = phase == "Succeeded" or condition(obj, "Ready").get("status") == "True"
    return Verdict("ready" if ready else "progressing", str(phase))


def _claim(obj: Object) -> Verdict:
    phase = (obj.get("status") or {}).get("phase", "Pending")
    if phase == "Lost":
        return Verdict("failed", "its volume is lost")
    return Verdict("ready" if phase == "Bound" else "progressing", phase)


def _service(obj: Object) -> Verdict:
    if obj["spec"].get("type") != "LoadBalancer":
        return Verdict("ready", "")
    ingress = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    return Verdict("ready", str(ingress[0])) if ingress else Verdict("progressing", "no load balancer address yet")


def _namespace(obj: Object) -> Verdict:
    phase = (obj.get("status") or {}).get("phase", "")
    return Verdict("ready" if phase == "Active" else "progressing", phase)


def _crd(obj: Object) -> Verdict:
    names = condition(obj, "NamesAccepted")
    if names.get("status") == "False" and names.get("reason") != "NotAccepted":
        return Verdict("failed", str(names.get("message")))
    return Verdict("ready" if condition(obj, "Established").get("status") == "True" else "progressing", "establishing")


def _autoscaler(obj: Object) -> Verdict:
    able = condition(obj, "AbleToScale")
    if not able:
        return Verdict("progressing", "not seen by its controller yet")
    # without metrics an autoscaler only holds still, and fresh pods have none for a minute
    return Verdict("ready" if able.get("status") == "True" else "progressing", str(able.get("message", "")))


def _disruption_budget(obj: Object) -> Verdict:
    return Verdict("ready", "") if observed(obj) else Verdict("progressing", "not seen by its controller yet")


def _by_condition(obj: Object) -> Verdict:
    found = condition(obj, "Ready") or condition(obj, "Available")
    if not found or found.get("status") == "True":
        return Verdict("ready", "")
    return Verdict("progressing", f"{found.get('reason', 'not ready')}: {found.get('message', '')}")


_RULES: dict[str, Callable[[Object], Verdict]] = {
    "Deployment": _deployment,
    "StatefulSet": _stateful_set,
    "DaemonSet": _daemon_set,
    "Job": _job,
    "Pod": _pod,
    "PersistentVolumeClaim": _claim,
    "Service": _service,
    "Namespace": _namespace,
    "CustomResourceDefinition": _crd,
    "APIService": _by_condition,
    "HorizontalPodAutoscaler": _autoscaler,
    "PodDisruptionBudget": _disruption_budget,
}
