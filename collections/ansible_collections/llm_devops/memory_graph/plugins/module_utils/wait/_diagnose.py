# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Why a pod does not start, and whether waiting can help. Pure; works on Pod objects, and on events about them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .._json import integer, mapping, mappings, text

Object = dict[str, Any]
PATIENCE = 15.0  # seconds for what sometimes heals: a registry that hiccups, capacity a dying pod still holds
AUTOSCALER_PATIENCE = 35.0  # it looks every 15 s: twice since its target may have come
REFERENCE_PATIENCE = 5.0  # for a name that is not there: what comes with the same release was applied before
# Restarts after which a crash is a loop. The first restart of a container has no back-off; of an init container it has.
CRASHES = {"container": 2, "init container": 1}
_PULLS = (
    (re.compile("no such host"), "the registry's name has no address"),
    (
        re.compile("unauthorized|forbidden|denied|no basic auth", re.IGNORECASE),
        "the registry does not let the node pull",
    ),
    (re.compile("not found|manifest unknown", re.IGNORECASE), "the image or its tag does not exist"),
)
DETAIL = 200  # characters
_MAY_HEAL = re.compile(
    r"timeout|timed out|toomanyrequests|429|50[0234]|connection (refused|reset)|i/o|EOF", re.IGNORECASE
)
_MISSING = re.compile(r'\b(configmap|secret|persistentvolumeclaim|serviceaccount)s? "[^"]+" not found', re.IGNORECASE)
_NO_IMAGE = ("ErrImagePull", "ImagePullBackOff")
_NO_CONTAINER = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")


@dataclass(frozen=True)
class Trouble:
    """``patience`` seconds it may last before it ends the wait; 0 is at once.

    ``missing`` marks a reference to something that is not there, which an operator may still bring; ``final`` what
    nothing will mend.
    """

    reason: str
    why: str
    way_out: str
    patience: float = 0.0
    container: str = ""
    crashed: bool = False
    missing: bool = False
    final: bool = False


def trouble(pod: Object, events: Iterable[Object] = ()) -> Trouble | None:
    """What keeps the pod from starting for good, or None while it may simply need time."""
    for key in ("initContainerStatuses", "containerStatuses"):
        for item in mappings(pod, "status", key):
            found = _container(pod, item, "init container" if key.startswith("init") else "container")
            if found:
                return found
    for item in mappings(pod, "status", "conditions"):
        if item.get("type") == "PodScheduled" and item.get("reason") == "Unschedulable":
            return None if text(pod, "status", "nominatedNodeName") else _unschedulable(text(item, "message"))
    return None if _prepared(pod) else _unmountable(pod, events)


def _prepared(pod: Object) -> bool:
    """Whether volumes, network and sandbox are there; before Kubernetes 1.29 nobody says so."""
    conditions = mappings(pod, "status", "conditions")
    return any(one.get("type") == "PodReadyToStartContainers" and one.get("status") == "True" for one in conditions)


def _describe(pod: Object) -> str:
    return f"kubectl -n {text(pod, 'metadata', 'namespace')} describe pod {text(pod, 'metadata', 'name')}"


def _container(pod: Object, item: Object, role: str) -> Trouble | None:
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
        return Trouble(f"{reason}: {text(item, 'image')}", why, way_out, 0, name)
    if reason in _NO_CONTAINER:
        missing = bool(_MISSING.search(message)) or "couldn't find key" in message
        return Trouble(
            f"{reason}: {message}",
            "the container's configuration names something that is not there" if missing else f"the {role} cannot run",
            f"create what is missing, or correct the name  ·  {_describe(pod)}" if missing else _describe(pod),
            REFERENCE_PATIENCE if "Config" in reason else 0,
            name,
            missing=missing,
        )
    if reason == "CrashLoopBackOff" and integer(item, "restartCount") >= CRASHES[role]:
        return _crash_loop(pod, item, role)
    return None


def _pull(pod: Object, item: Object, reason: str, message: str) -> Trouble:
    image, detail = text(item, "image"), _pull_detail(message)
    heals = not detail or bool(_MAY_HEAL.search(detail))
    return Trouble(
        f"{reason}: {image}: {detail or 'cannot be pulled'}",
        next((why for known, why in _PULLS if known.search(detail)), "the node cannot pull the image"),
        f"correct the image  ·  {_describe(pod)}",
        PATIENCE if heals else 0,
        text(item, "name"),
    )


def _pull_detail(message: str) -> str:
    """The cause at the end of the runtime's chain of wrapped errors; nothing while it only says that it backs off."""
    if message.startswith("Back-off pulling") and ": " not in message:
        return ""
    detail = message.rsplit("failed to resolve reference ", 1)[-1].rsplit("rpc error: ", 1)[-1]
    return detail if len(detail) <= DETAIL else f"… {detail[-DETAIL:].partition(' ')[2]}"


def _crash_loop(pod: Object, item: Object, role: str) -> Trouble:
    last, name = mapping(item, "lastState", "terminated"), text(item, "name")
    why = (
        "it uses more memory than its limit"
        if last.get("reason") == "OOMKilled"
        else "the program ends right after it starts"
    )
    return Trouble(
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


def _unschedulable(message: str) -> Trouble | None:
    if "unbound immediate PersistentVolumeClaims" in message or "waiting for" in message.lower():
        return None  # the claim itself says why
    heading = message.split(" preemption:", maxsplit=1)[0]
    if "persistentvolumeclaim" in message and "not found" in message:
        why = "the pod mounts a claim that does not exist"
        return Trouble(f"Unschedulable: {heading}", why, "create the claim", REFERENCE_PATIENCE, missing=True)
    if "storageclass" in message.lower() and "not found" in message:
        why = "the pod mounts a claim whose storage class does not exist"
        return Trouble(f"Unschedulable: {heading}", why, "correct storageClassName", REFERENCE_PATIENCE)
    return Trouble(
        f"Unschedulable: {heading}",
        "no node has room for the pod, or none may take it",
        "lower the pod's requests, correct nodeSelector, affinity and tolerations, or add a node",
        PATIENCE,
    )


def _unmountable(pod: Object, events: Iterable[Object]) -> Trouble | None:
    for event in events:
        message = one_line(text(event, "message"))
        if event.get("reason") == "FailedMount" and _MISSING.search(message):
            return Trouble(
                f"FailedMount: {message}",
                "a volume of the pod names something that is not there",
                f"create what is missing, or correct the name  ·  {_describe(pod)}",
                REFERENCE_PATIENCE,
                missing=True,
            )
    return None


def container_statuses(pod: Object) -> list[Object]:
    """What is known of each container, in the order they start."""
    return [item for key in ("initContainerStatuses", "containerStatuses") for item in mappings(pod, "status", key)]


def ended(pod: Object) -> tuple[str, str]:
    """The container that made a pod fail and how it ended, or two empty texts."""
    for item in container_statuses(pod):
        for state in ("state", "lastState"):
            terminated, name = mapping(item, state, "terminated"), text(item, "name")
            if terminated.get("exitCode"):
                return name, f"container {name} ended with {exit_of(terminated)}"
    return "", ""


def refused_creation(event: Object) -> Trouble | None:
    """A controller that may not create pods: quota, LimitRange, Pod Security, admission."""
    message = one_line(text(event, "message"))
    if event.get("reason") != "FailedCreate" or not any(
        word in message.lower() for word in ("forbidden", "denied", "not found", "failed calling webhook", "invalid")
    ):
        return None
    return creation_trouble(f"FailedCreate: {message}")


def creation_trouble(reason: str) -> Trouble:
    """Why pods are refused, from what the API server told their controller."""
    if "exceeded quota" in reason or "failed quota" in reason:
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
        return Trouble(
            reason,
            "the ServiceAccount does not exist",
            "create it",
            PATIENCE if "not found" in reason else 0,
            missing=True,
        )
    if "usage per" in reason:
        return Trouble(
            reason, "the namespace's LimitRange does not allow these resources", "fit the resources into the LimitRange"
        )
    return Trouble(reason, "the API server refuses the pods", "see the reason above", REFERENCE_PATIENCE)


def scale_trouble(reason: str) -> Trouble | None:
    """Why a HorizontalPodAutoscaler cannot scale, when what it scales is not there."""
    absent = ("not found", "no matches for kind", "could not find the requested resource")
    if not reason.startswith("FailedGetScale") or not any(said in reason for said in absent):
        return None
    why = "what its scaleTargetRef names does not exist"
    return Trouble(reason, why, "correct scaleTargetRef, or add its target", AUTOSCALER_PATIENCE, missing=True)


def claim_trouble(event: Object) -> Trouble | None:
    """Why a PersistentVolumeClaim gets no volume, when nobody is at work on one."""
    message, reason = one_line(text(event, "message")), event.get("reason")
    if reason == "ProvisioningFailed" and "storageclass" in message.lower() and "not found" in message:
        return Trouble(
            f"{reason}: {message}", "its storage class does not exist", "correct storageClassName", REFERENCE_PATIENCE
        )
    if reason == "ProvisioningFailed" and "no volume plugin matched" in message:
        why = "its storage class has no provisioner, and no PersistentVolume fits"
        return Trouble(f"{reason}: {message}", why, "make a PersistentVolume, or take another class", PATIENCE)
    if reason == "VolumeMismatch":
        why = "the PersistentVolume that it asks for by volumeName does not fit it"
        way_out = "name another volume, or ask for size, access modes, mode and class as the volume has them"
        return Trouble(f"{reason}: {message}", why, way_out, REFERENCE_PATIENCE)
    if reason == "FailedBinding" and "already bound" in message:
        why = "the PersistentVolume that it asks for by volumeName is another claim's, or was an earlier one's"
        way_out = "name another volume; one whose claim is gone is free again without its spec.claimRef.uid"
        return Trouble(f"{reason}: {message}", why, way_out, PATIENCE)
    if reason == "FailedBinding":
        why = "it names no storage class and the cluster has no default one, and no PersistentVolume fits"
        return Trouble(f"{reason}: {message}", why, "name a storage class, or make a PersistentVolume", PATIENCE)
    return None


def no_volume(claim: Object) -> Trouble:
    """A PersistentVolumeClaim that asks for a volume that is not there, of which no event tells."""
    return Trouble(
        f"PersistentVolume {text(claim, 'spec', 'volumeName')} does not exist",
        "the claim asks for it by volumeName, and so gets no other one",
        "create it, correct volumeName, or leave it out to be given a volume",
        REFERENCE_PATIENCE,
        missing=True,
    )


def one_line(text: Any) -> str:
    return " ".join(str(text).split())


def unready(pod: Object) -> str:
    """Name of the first container that runs and is not ready, or nothing."""
    for item in mappings(pod, "status", "containerStatuses"):
        if not item.get("ready") and "running" in mapping(item, "state"):
            return text(item, "name")
    return ""
