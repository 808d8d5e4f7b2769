# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The diagnosis of a pod: why it does not start, and whether waiting can help. Pure; reads Pods and their events."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .._json import integer, mapping, mappings, text
from ..kinds._problem import HEALING_GRACE_S, REFERENCE_GRACE_S, WaitProblem, one_line
from ..kinds._verdict import Object

# Restarts after which a crash is a loop. The first restart of a container has no back-off; of an init container it has.
CRASH_LOOP_RESTARTS = {"container": 2, "init container": 1}
_PULLS = (
    (re.compile("no such host"), "the registry's name has no address"),
    (
        re.compile("unauthorized|forbidden|denied|no basic auth", re.IGNORECASE),
        "the registry does not let the node pull",
    ),
    (re.compile("not found|manifest unknown", re.IGNORECASE), "the image or its tag does not exist"),
)
MAX_DETAIL = 200  # characters
_MAY_HEAL = re.compile(
    r"timeout|timed out|toomanyrequests|429|50[0234]|connection (refused|reset)|i/o|EOF", re.IGNORECASE
)
_MISSING = re.compile(r'\b(configmap|secret|persistentvolumeclaim|serviceaccount)s? "[^"]+" not found', re.IGNORECASE)
_NO_IMAGE = ("ErrImagePull", "ImagePullBackOff")
_NO_CONTAINER = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")


def pod_problem(pod: Object, events: Iterable[Object] = ()) -> WaitProblem | None:
    """Return what keeps the pod from starting for good, or None while it may simply need time."""
    for key in ("initContainerStatuses", "containerStatuses"):
        for item in mappings(pod, "status", key):
            problem = _container(pod, item, "init container" if key.startswith("init") else "container")
            if problem:
                return problem
    for item in mappings(pod, "status", "conditions"):
        if item.get("type") == "PodScheduled" and item.get("reason") == "Unschedulable":
            return None if text(pod, "status", "nominatedNodeName") else _unschedulable(text(item, "message"))
    return None if _prepared(pod) else _unmountable(pod, events)


def _prepared(pod: Object) -> bool:
    """Whether volumes, network and sandbox are there; before Kubernetes 1.29 nobody says so."""
    conditions = mappings(pod, "status", "conditions")
    return any(
        condition.get("type") == "PodReadyToStartContainers" and condition.get("status") == "True"
        for condition in conditions
    )


def _describe(pod: Object) -> str:
    return f"kubectl -n {text(pod, 'metadata', 'namespace')} describe pod {text(pod, 'metadata', 'name')}"


def _container(pod: Object, item: Object, role: str) -> WaitProblem | None:
    waiting, name = mapping(item, "state", "waiting"), text(item, "name")
    reason, message = text(waiting, "reason"), one_line(text(waiting, "message"))
    if reason in _NO_IMAGE:
        return _pull(pod, item, reason, message)
    if reason in ("InvalidImageName", "ErrImageNeverPull"):
        why = (
            "imagePullPolicy is Never and the node does not have the image"
            if reason == "ErrImageNeverPull"
            else "the image reference is malformed"
        )
        way_out = f"load or correct the image  ·  {_describe(pod)}"
        return WaitProblem(f"{reason}: {text(item, 'image')}", why, way_out, 0, name)
    if reason in _NO_CONTAINER:
        missing = bool(_MISSING.search(message)) or "couldn't find key" in message
        return WaitProblem(
            f"{reason}: {message}",
            "the container's configuration names something that is not there" if missing else f"the {role} cannot run",
            f"create what is missing, or correct the name  ·  {_describe(pod)}" if missing else _describe(pod),
            REFERENCE_GRACE_S if "Config" in reason else 0,
            name,
            missing=missing,
        )
    if reason == "CrashLoopBackOff" and integer(item, "restartCount") >= CRASH_LOOP_RESTARTS[role]:
        return _crash_loop(pod, item, role)
    return None


def _pull(pod: Object, item: Object, reason: str, message: str) -> WaitProblem:
    image, detail = text(item, "image"), _pull_detail(message)
    may_heal = not detail or bool(_MAY_HEAL.search(detail))
    return WaitProblem(
        f"{reason}: {image}: {detail or 'cannot be pulled'}",
        next((why for cause, why in _PULLS if cause.search(detail)), "the node cannot pull the image"),
        f"correct the image  ·  {_describe(pod)}",
        HEALING_GRACE_S if may_heal else 0,
        text(item, "name"),
    )


def _pull_detail(message: str) -> str:
    """Return the cause at the end of the runtime's chain of wrapped errors; nothing while it only backs off."""
    if message.startswith("Back-off pulling") and ": " not in message:
        return ""
    detail = message.rsplit("failed to resolve reference ", 1)[-1].rsplit("rpc error: ", 1)[-1]
    return detail if len(detail) <= MAX_DETAIL else f"… {detail[-MAX_DETAIL:].partition(' ')[2]}"


def _crash_loop(pod: Object, item: Object, role: str) -> WaitProblem:
    last, name = mapping(item, "lastState", "terminated"), text(item, "name")
    why = (
        "it uses more memory than its limit"
        if last.get("reason") == "OOMKilled"
        else "the program ends right after it starts"
    )
    return WaitProblem(
        f"CrashLoopBackOff: {role} {name} ended {integer(item, 'restartCount') + 1} times ({exit_of(last)})",
        why,
        f"read its log  ·  kubectl -n {text(pod, 'metadata', 'namespace')} logs {text(pod, 'metadata', 'name')}"
        f" -c {name} --previous",
        0,
        name,
        crashed=True,
    )


def exit_of(terminated: Object) -> str:
    """``exit code 137, OOMKilled``."""
    reason = text(terminated, "reason")
    return f"exit code {text(terminated, 'exitCode')}" + (f", {reason}" if reason and reason != "Error" else "")


def _unschedulable(message: str) -> WaitProblem | None:
    if "unbound immediate PersistentVolumeClaims" in message or "waiting for" in message.lower():
        return None  # the claim itself says why
    heading = message.split(" preemption:", maxsplit=1)[0]
    if "persistentvolumeclaim" in message and "not found" in message:
        why = "the pod mounts a claim that does not exist"
        return WaitProblem(f"Unschedulable: {heading}", why, "create the claim", REFERENCE_GRACE_S, missing=True)
    if "storageclass" in message.lower() and "not found" in message:
        why = "the pod mounts a claim whose storage class does not exist"
        return WaitProblem(f"Unschedulable: {heading}", why, "correct storageClassName", REFERENCE_GRACE_S)
    return WaitProblem(
        f"Unschedulable: {heading}",
        "no node has room for the pod, or none may take it",
        "lower the pod's requests, correct nodeSelector, affinity and tolerations, or add a node",
        HEALING_GRACE_S,
    )


def _unmountable(pod: Object, events: Iterable[Object]) -> WaitProblem | None:
    for event in events:
        message = one_line(text(event, "message"))
        if event.get("reason") == "FailedMount" and _MISSING.search(message):
            return WaitProblem(
                f"FailedMount: {message}",
                "a volume of the pod names something that is not there",
                f"create what is missing, or correct the name  ·  {_describe(pod)}",
                REFERENCE_GRACE_S,
                missing=True,
            )
    return None


def container_statuses(pod: Object) -> list[Object]:
    """Return the status of each container, in the order they start."""
    return [item for key in ("initContainerStatuses", "containerStatuses") for item in mappings(pod, "status", key)]


def ended(pod: Object) -> tuple[str, str]:
    """Return the container that made a pod fail and how it ended, or two empty texts."""
    for item in container_statuses(pod):
        for state in ("state", "lastState"):
            terminated, name = mapping(item, state, "terminated"), text(item, "name")
            if terminated.get("exitCode"):
                return name, f"container {name} ended with {exit_of(terminated)}"
    return "", ""


def refused_creation(event: Object) -> WaitProblem | None:
    """Return why a controller may not create pods: quota, LimitRange, Pod Security, admission."""
    message = one_line(text(event, "message"))
    if event.get("reason") != "FailedCreate" or not any(
        word in message.lower() for word in ("forbidden", "denied", "not found", "failed calling webhook", "invalid")
    ):
        return None
    return creation_problem(f"FailedCreate: {message}")


def creation_problem(reason: str) -> WaitProblem:
    """Return why pods are refused, from the API server's answer to their controller."""
    if "exceeded quota" in reason or "failed quota" in reason:
        return WaitProblem(
            reason,
            "the namespace's ResourceQuota has no room for the pods",
            "lower requests or replicas, or raise the quota",
        )
    if "PodSecurity" in reason:
        return WaitProblem(
            reason,
            "the namespace enforces a Pod Security level the pod does not meet",
            "tighten the pod's securityContext",
        )
    if "serviceaccount" in reason:
        return WaitProblem(
            reason,
            "the ServiceAccount does not exist",
            "create it",
            HEALING_GRACE_S if "not found" in reason else 0,
            missing=True,
        )
    if "usage per" in reason:
        return WaitProblem(
            reason, "the namespace's LimitRange does not allow these resources", "fit the resources into the LimitRange"
        )
    return WaitProblem(reason, "the API server refuses the pods", "see the reason above", REFERENCE_GRACE_S)


def unready(pod: Object) -> str:
    """Return the name of the first container that runs and is not ready, or nothing."""
    for item in mappings(pod, "status", "containerStatuses"):
        if not item.get("ready") and "running" in mapping(item, "state"):
            return text(item, "name")
    return ""
