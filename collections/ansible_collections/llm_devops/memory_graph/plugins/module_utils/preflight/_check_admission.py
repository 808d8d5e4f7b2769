# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Preflight: whether the API server admits the pods of each workload, by a dry run of a Pod made of its template.

A namespace that does not exist yet cannot be asked, nor can a Pod Security level that the release itself is about to
set. Of those the most common rules are computed (docs/decisions/0008-preflight-dry-run.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .._errors import ApiError
from .._json import text
from ..cluster._cluster import in_parallel
from ..objects import _resource_requests
from ..objects._manifest import Object
from ..objects._resource_requests import Pods
from . import _pod_security
from ._context import PreflightContext
from ._dry_run_pod import AdmissionRefusal, name_of, pod_of, refusal_of

PARALLELISM = 8
NOT_ASKED = frozenset({"RBAC", "no namespace", "other"})
"""Kinds of refusals that do not judge the Pod. That there is no namespace is the finding of another check."""


@dataclass(frozen=True)
class PodAdmission:
    """The answers of the API server to a workload's Pod; ``complete`` unless one of them was no judgement."""

    owner: Pods
    refusals: list[AdmissionRefusal] = field(default_factory=list)
    complete: bool = True


def admission(context: PreflightContext) -> None:
    owners = list(_resource_requests.pods(context.objects))
    present = [owner for owner in owners if owner.namespace not in context.absent]
    created = {
        (item["kind"], text(item, "metadata", "namespace") if item["kind"] == "ServiceAccount" else "",
         item["metadata"]["name"])
        for item in context.objects
    }  # fmt: skip
    results = in_parallel(lambda owner: _ask(context, owner, pod_of(owner, created)), present, PARALLELISM)
    for result in results:
        for refusal in result.refusals:
            _report(context, result.owner, refusal)
    _report_not_asked(context, results)
    judged = [result.owner for result in results if result.complete]
    context.not_asked = {owner.owner for owner in owners if owner not in judged}
    for namespace in sorted({owner.namespace for owner in owners}):
        _compute_level(context, namespace, [owner for owner in owners if owner.namespace == namespace])


def _ask(context: PreflightContext, owner: Pods, pod: Object | None) -> PodAdmission:
    """Ask about the Pod, and again without what was refused, until it is admitted or nothing can be left out."""
    path = f"/api/v1/namespaces/{owner.namespace}/pods/{name_of(owner)}"
    refusals: dict[str, AdmissionRefusal] = {}
    while pod:
        refusal = _refusal(context, path, pod)
        if refusal is None:
            break
        if refusal.kind in refusals:  # what was left out is not what it refuses
            return PodAdmission(owner, list(refusals.values()), complete=False)
        if refusal.kind != "ResourceQuota" or "LimitRange" not in refusals:  # else they were left out
            refusals[refusal.kind] = refusal
        pod = refusal.without(pod)
    return PodAdmission(owner, list(refusals.values()), complete=not refusals.keys() & NOT_ASKED)


def _refusal(context: PreflightContext, path: str, pod: Object) -> AdmissionRefusal | None:
    """Ask about one Pod by a dry run; None where it is admitted."""
    try:
        context.cluster.apply(path, pod, dry_run=True)
    except ApiError as error:
        return refusal_of(error)
    return None


def _report(context: PreflightContext, owner: Pods, refusal: AdmissionRefusal) -> None:
    name, namespace = owner.owner, owner.namespace
    match refusal.kind:
        case "PodSecurity" if _planned_level(context, namespace) in ("", refusal.subject):
            context.add_problem(
                f"{name} does not meet the namespace's level {refusal.subject}: {refusal.detail}",
                "set it so in the pod's and its containers' securityContext",
            )
        case "ServiceAccount" if refusal.subject != "default":  # which a controller makes in every namespace
            context.add_problem(
                f"{name} needs ServiceAccount {refusal.subject!r} in {namespace}, which does not exist",
                "create it, or name one that exists",
            )
        case "PriorityClass" | "RuntimeClass":
            context.add_problem(
                f"{name} needs {refusal.kind} {refusal.subject!r}, which does not exist",
                "create it, or name one that exists",
            )
        case "LimitRange":
            _report_limits(context, owner, refusal.detail)
        case "ResourceQuota" if not _changes(context, ("LimitRange", "ResourceQuota"), namespace):
            context.add_problem(
                f"{name} must say {refusal.detail}, or ResourceQuota {refusal.subject!r} refuses its pods",
                "set it in the container's resources, or give the namespace a LimitRange with defaults",
            )
        case "invalid":
            context.add_problem(f"the pod template of {name} is invalid: {refusal.detail}", "correct the template")
        case "other":
            context.add_note(
                f"a dry run of a pod of {name} is refused, and its controller's pods may be: {refusal.detail}"
            )


def _report_limits(context: PreflightContext, owner: Pods, detail: str) -> None:
    sentence = f"a LimitRange of namespace {owner.namespace} refuses the pods of {owner.owner}: {detail}"
    if _changes(context, ("LimitRange",), owner.namespace):
        context.add_note(f"{sentence}, as it is before the release changes it")
    else:
        context.add_problem(
            sentence,
            f"change the containers' resources, or the LimitRange: kubectl -n {owner.namespace} get limitranges",
        )


def _changes(context: PreflightContext, kinds: Iterable[str], namespace: str) -> bool:
    """Whether the release has objects of these kinds there, which may be others than those that answered."""
    return any(item["metadata"].get("namespace") == namespace for kind in kinds for item in context.of_kind(kind))


def _report_not_asked(context: PreflightContext, results: Iterable[PodAdmission]) -> None:
    """One note for all workloads about which the same right is lacking."""
    lacking: dict[str, list[str]] = {}
    for result in results:
        for refusal in result.refusals:
            if refusal.kind == "RBAC":
                lacking.setdefault(refusal.subject, []).append(result.owner.owner)
    for permission, owners in lacking.items():
        context.add_note(
            f"whether the pods of {', '.join(owners)} are admitted was not asked: you may not {permission}"
        )


def _planned_level(context: PreflightContext, namespace: str) -> str:
    """The Pod Security level that the release gives its namespace; empty when it gives none."""
    objects = (item for item in context.of_kind("Namespace") if item["metadata"]["name"] == namespace)
    return next((text(item, "metadata", "labels", _pod_security.ENFORCE) for item in objects), "")


def _compute_level(context: PreflightContext, namespace: str, owners: list[Pods]) -> None:
    """Judge by the level's common rules where the API server was not asked, or knows another level than will be."""
    planned, live = _planned_level(context, namespace), ""
    not_asked = [owner for owner in owners if owner.owner in context.not_asked]
    if namespace not in context.absent and (planned or not_asked):
        answer = context.read(f"/api/v1/namespaces/{namespace}", "the Pod Security level")
        live = text(answer, "metadata", "labels", _pod_security.ENFORCE)
    level = planned or live
    for owner in owners if planned and planned != live else not_asked:
        violations = _pod_security.violations(level, owner.spec)
        if violations:
            context.add_problem(
                f"{owner.owner} does not meet the namespace's level {level}: {', '.join(violations)}",
                "set it so in the pod's and its containers' securityContext",
            )
