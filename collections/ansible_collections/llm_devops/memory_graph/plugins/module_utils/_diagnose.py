# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Why a pod does not start, and whether waiting can help. Pure; works on Pod and Event objects."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
PATIENCE = 15.0  # seconds for what sometimes heals: a registry that hiccups, capacity a dying pod still holds
_MAY_HEAL = re.compile(
    r"timeout|timed out|toomanyrequests|429|50[0234]|connection (refused|reset)|i/o|EOF", re.IGNORECASE
)


@dataclass(frozen=True)
class Trouble:
    """``patience`` seconds it may last before it ends the wait; 0 is at once."""

    reason: str
    why: str
    way_out: str
    patience: float = 0.0
    container: str = ""
    crashed: bool = False


def trouble(pod: Object) -> Trouble | None:
    """What keeps the pod from starting for good, or None while it may simply need time."""
    status = pod.get("status") or {}
    for item in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        found = _container(pod, item)
        if found:
            return found
    for item in status.get("conditions") or []:
        if (
            item.get("type") == "PodScheduled"
            and item.get("status") == "False"
            and item.get("reason") == "Unschedulable"
        ):
            return _unschedulable(str(item.get("message", "")))
    return None


def phase(pod: Object) -> str:
    """One word for a progress line: pulling, starting, running …"""
    status = pod.get("status") or {}
    containers = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    for item in containers:
        waiting = (item.get("state") or {}).get("waiting") or {}
        if waiting:
            reason = str(waiting["reason"])
            return {"ContainerCreating": "pulling", "PodInitializing": "initialising"}.get(reason, reason)
    return "starting" if containers else "scheduling"


def _container(pod: Object, item: Object) -> Trouble | None:
    waiting = (item.get("state") or {}).get("waiting") or {}
    reason, message, name = waiting.get("reason", ""), " ".join(str(waiting.get("message", "")).split()), item["name"]
    describe = f"kubectl -n {pod['metadata'].get('namespace')} describe pod {pod['metadata']['name']}"
    if reason in ("ErrImagePull", "ImagePullBackOff"):
        image = item.get("image", "")
        return Trouble(
            f"{reason}: {image}: {_pull_detail(message)}",
            "the image or its tag does not exist, or the node may not pull it",
            f"correct the image  ·  {describe}",
            PATIENCE if _MAY_HEAL.search(message) or not message or reason == "ImagePullBackOff" else 0,
            name,
        )
    if reason in ("InvalidImageName", "ErrImageNeverPull"):
        why = (
            "imagePullPolicy is Never and the node does not have the image"
            if reason == "ErrImageNeverPull"
            else "the image reference is malformed"
        )
        return Trouble(f"{reason}: {item.get('image', '')}", why, f"load or correct the image  ·  {describe}", 0, name)
    if reason in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError"):
        return Trouble(
            f"{reason}: {message}",
            "the container's configuration names something that is not there",
            f"create what is missing, or correct the name  ·  {describe}",
            5 if "Config" in reason else 0,
            name,
        )
    last = (item.get("lastState") or {}).get("terminated") or {}
    if reason == "CrashLoopBackOff" and int(item.get("restartCount", 0)) >= 2:
        ended = f"exit code {last.get('exitCode')}" + (f", {last['reason']}" if last.get("reason") else "")
        why = (
            "it uses more memory than its limit"
            if last.get("reason") == "OOMKilled"
            else "the program ends right after it starts"
        )
        return Trouble(
            f"CrashLoopBackOff: container {name} ended {item['restartCount'] + 1} times ({ended})",
            why,
            f"read its log  ·  kubectl -n {pod['metadata'].get('namespace')} logs {pod['metadata']['name']}"
            f" -c {name} --previous",
            0,
            name,
            crashed=True,
        )
    return None


def _pull_detail(message: str) -> str:
    detail = message.rsplit("failed to resolve reference ", 1)[-1].rsplit("rpc error: ", 1)[-1]
    return detail[-200:] or "cannot be pulled"


def _unschedulable(message: str) -> Trouble | None:
    if "unbound immediate PersistentVolumeClaims" in message or "waiting for" in message.lower():
        return None
    heading = message.split(" preemption:", maxsplit=1)[0]
    if "persistentvolumeclaim" in message:
        return Trouble(f"Unschedulable: {heading}", "the pod mounts a claim that does not exist", "create the claim", 5)
    return Trouble(
        f"Unschedulable: {heading}",
        "no node has room for the pod, or none may take it",
        "lower the pod's requests, correct nodeSelector, affinity and tolerations, or add a node",
        PATIENCE,
    )


def refused_creation(event: Object) -> Trouble | None:
    """A controller that may not create pods: quota, LimitRange, Pod Security, admission."""
    message = " ".join(str(event.get("message", "")).split())
    if event.get("reason") != "FailedCreate" or (
        "forbidden" not in message.lower() and "denied" not in message.lower()
    ):
        return None
    return creation_trouble(f"FailedCreate: {message}")


def creation_trouble(reason: str) -> Trouble:
    if "exceeded quota" in reason:
        return Trouble(
            reason,
            "the namespace's ResourceQuota has no room for the pods",
            "lower requests or replicas, or raise the quota",
        )
    if "PodSecurity" in reason:
        return Trouble(
            reason,
            "the namespace enforces a Pod Security level the pod does not meet",
            "tighten the pod's securityContext",
        )
    if "serviceaccount" in reason:
        return Trouble(reason, "the ServiceAccount does not exist yet", "create it", PATIENCE)
    if "usage per" in reason:
        return Trouble(
            reason, "the namespace's LimitRange does not allow these resources", "fit the resources into the LimitRange"
        )
    return Trouble(reason, "the API server refuses the pods", "see the reason above", 5)
