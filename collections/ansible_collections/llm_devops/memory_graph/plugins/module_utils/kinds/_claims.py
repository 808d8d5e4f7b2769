# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""When PersistentVolumeClaims are ready, and why one gets no volume. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from .._json import text
from ._problem import HEALING_GRACE_S, REFERENCE_GRACE_S, WaitProblem, one_line, own_failure
from ._verdict import Object, Verdict, group_of, ready_if


def is_claim(obj: Object) -> bool:
    return (group_of(obj), text(obj, "kind")) == ("", "PersistentVolumeClaim")


def binds_at_first_consumer(storage_class: Object | None) -> bool:
    """Whether claims of the class get their volume only when a pod mounts them."""
    return text(storage_class, "volumeBindingMode") == "WaitForFirstConsumer"


def claim(obj: Object) -> Verdict:
    phase = text(obj, "status", "phase") or "Pending"
    if phase == "Lost":
        return Verdict("failed", "its volume is lost")
    return ready_if(phase == "Bound", phase.lower())


def claim_problem(obj: Object, verdict: Verdict, events: Sequence[Object]) -> WaitProblem | None:
    if verdict.state == "failed" or not events:
        return own_failure(obj, verdict, events)
    return binding_problem(events[-1])


def claim_detail(events: Sequence[Object]) -> str:
    return one_line(text(events[-1], "message"))[:200] if events else ""


def binding_problem(event: Object) -> WaitProblem | None:
    """Return why a claim gets no volume, when nobody is at work on one."""
    message, reason = one_line(text(event, "message")), event.get("reason")
    if reason == "ProvisioningFailed" and "storageclass" in message.lower() and "not found" in message:
        why = "its storage class does not exist"
        return WaitProblem(f"{reason}: {message}", why, "correct storageClassName", REFERENCE_GRACE_S)
    if reason == "ProvisioningFailed" and "no volume plugin matched" in message:
        why = "its storage class has no provisioner, and no PersistentVolume fits"
        return WaitProblem(
            f"{reason}: {message}", why, "make a PersistentVolume, or take another class", HEALING_GRACE_S
        )
    if reason == "VolumeMismatch":
        why = "the PersistentVolume that it asks for by volumeName does not fit it"
        way_out = "name another volume, or ask for size, access modes, mode and class as the volume has them"
        return WaitProblem(f"{reason}: {message}", why, way_out, REFERENCE_GRACE_S)
    if reason == "FailedBinding" and "already bound" in message:
        why = "the PersistentVolume that it asks for by volumeName is another claim's, or was an earlier one's"
        way_out = "name another volume; one whose claim is gone is free again without its spec.claimRef.uid"
        return WaitProblem(f"{reason}: {message}", why, way_out, HEALING_GRACE_S)
    if reason == "FailedBinding":
        why = "it names no storage class and the cluster has no default one, and no PersistentVolume fits"
        return WaitProblem(
            f"{reason}: {message}", why, "name a storage class, or make a PersistentVolume", HEALING_GRACE_S
        )
    return None


def missing_volume(obj: Object) -> WaitProblem:
    """A claim that asks for a volume that does not exist, of which no event tells."""
    return WaitProblem(
        f"PersistentVolume {text(obj, 'spec', 'volumeName')} does not exist",
        "the claim asks for it by volumeName, and so gets no other one",
        "create it, correct volumeName, or leave it out to be given a volume",
        REFERENCE_GRACE_S,
        missing=True,
    )
