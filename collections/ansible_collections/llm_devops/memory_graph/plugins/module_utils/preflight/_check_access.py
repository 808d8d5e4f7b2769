# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Preflight: the API server and what one may do there; kinds, namespace, and what the release only refers to."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .._errors import ApiError, ClusterError
from ..cluster._parallel import in_parallel
from ..objects import _references
from ..objects._manifest import Object
from ..objects._namespaces import absent_namespaces
from . import _permissions
from ._context import Survey
from ._permissions import RBAC, Need

OLDEST = (1, 27)
"""The oldest Kubernetes whose gRPC probes and server-side apply are both generally available."""
_VERSION = re.compile(r"^v?([0-9]+)\.([0-9]+)")


def api(survey: Survey) -> str:
    """:raises ClusterError: when the API server cannot be asked at all."""
    version = str(survey.cluster.request("GET", "/version").get("gitVersion", ""))
    found = _VERSION.match(version)
    oldest = ".".join(str(part) for part in OLDEST)
    if not found:
        survey.note(f"the version {version!r} cannot be read; releases need Kubernetes {oldest} or later")
    elif (int(found[1]), int(found[2])) < OLDEST:
        survey.problem(f"the cluster runs Kubernetes {version}, releases need {oldest} or later", "upgrade the cluster")
    return f"{survey.cluster.access.server} runs Kubernetes {version}"


def namespace(survey: Survey) -> None:
    try:
        survey.absent = absent_namespaces(survey.cluster, survey.objects, survey.namespace)
    except ApiError as error:
        survey.note(f"the namespace could not be checked: {error.message}")
    except ClusterError as error:  # it is terminating, or missing
        survey.problem(error.message, error.way_out)


def kinds(survey: Survey) -> None:
    specs = [crd["spec"] for crd in survey.of("CustomResourceDefinition")]
    brought = {(spec["group"], spec["names"]["kind"]) for spec in specs}
    for version, kind in sorted({(item["apiVersion"], item["kind"]) for item in survey.objects}):
        if not survey.served(version, kind) and (version.rpartition("/")[0], kind) not in brought:
            served = survey.discovery.serving(version.rpartition("/")[0], kind)
            way_out = f"it is served as {', '.join(served)}" if served else "install its CustomResourceDefinition"
            survey.problem(f"the cluster does not know {kind} of {version}", way_out)


def permissions(survey: Survey) -> None:
    """Ask after every verb the release needs, by SelfSubjectAccessReview."""
    plan = _permissions.Plan(
        survey.release, survey.namespace, survey.objects, survey.served, history_limit=survey.history_limit
    )
    denied = _denied(survey, _permissions.needs(plan))
    granted = [need for need in denied if need.granted]
    if granted and _may_escalate(survey):
        denied = [need for need in denied if not need.granted]
    way_out = "have a Role granted that allows it: permissions_info prints it (playbooks/permissions.yml)"
    for purpose, said in _said(need for need in denied if need.essential):
        survey.problem(f"you may not {said}, to {purpose}", way_out)
    for purpose, said in _said(need for need in denied if not need.essential):
        survey.note(f"you may not {said}: without it the release cannot {purpose}")


def _denied(survey: Survey, wanted: list[Need]) -> list[Need]:
    """Those not allowed. First each verb is asked for all names, then by name only where that was refused."""

    def wide(need: Need) -> Need:
        return Need(need.namespace, need.group, need.resource, need.verb, path=need.path)

    broad = sorted({wide(need) for need in wanted})
    allowed = dict(zip(broad, in_parallel(lambda need: _allowed(survey, need), broad, 8), strict=True))
    refused = [need for need in wanted if not allowed[wide(need)]]
    by_name = [need for need in refused if need.name]
    held = dict(zip(by_name, in_parallel(lambda need: _allowed(survey, need), by_name, 8), strict=True))
    return [need for need in refused if not held.get(need, False)]


def _allowed(survey: Survey, need: Need) -> bool:
    resource, _slash, subresource = need.resource.partition("/")
    attributes = {"verb": need.verb, "group": need.group, "resource": resource, "subresource": subresource,
                  "namespace": need.namespace, "name": need.name}  # fmt: skip
    spec: Object = {"resourceAttributes": attributes}
    if need.path:
        spec = {"nonResourceAttributes": {"path": need.path, "verb": need.verb}}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec}
    answer = survey.cluster.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=body)
    return bool(answer["status"]["allowed"])


def _may_escalate(survey: Survey) -> bool:
    """Whether RBAC's escalation prevention is lifted for this user, who then need not hold what the Roles give."""
    asked = [(kind, verb) for kind in ("Role", "ClusterRole") if survey.of(kind) for verb in ("escalate", "bind")]
    return all(_allowed(survey, Need(survey.namespace, RBAC, f"{kind.lower()}s", verb)) for kind, verb in asked)


def _said(denied: Iterable[Need]) -> list[tuple[str, str]]:
    """``(purpose, "create, patch configmaps one, two in namespace demo")``: what differs in its name only, together."""
    verbs: dict[tuple[str, str, str, str], list[str]] = {}
    for need in denied:
        resource = f"{need.resource}.{need.group}" if need.group else need.resource or need.path
        where = f"in namespace {need.namespace}" if need.namespace else "at cluster scope"
        verbs.setdefault((need.purpose, resource, where, need.name), []).append(need.verb)
    names: dict[tuple[str, str, str, str], list[str]] = {}
    for (purpose, resource, where, name), held in verbs.items():
        names.setdefault((purpose, ", ".join(held), resource, where), []).extend([name] if name else [])
    return [
        (purpose, " ".join(part for part in (held, resource, _few(found), where) if part))
        for (purpose, held, resource, where), found in names.items()
    ]


def _few(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def references(survey: Survey) -> None:
    for one in _references.outside(survey.objects):
        there: Object | None = {}
        if one.namespace not in survey.absent:
            there = survey.found(one.path, f"whether {one.kind} {one.name!r} exists")
        if there:
            _keys(survey, one, there)
        if there is None or there:
            continue
        where = f" in {one.namespace}" if one.namespace else ""
        said = f"{one.owner} needs {one.kind} {one.name!r}{where}, which does not exist"
        if one.vital:
            flag = f" -n {one.namespace}" if one.namespace else ""
            way_out = f"create it, or let the release bring it: kubectl{flag} create {one.kind.lower()} …"
            survey.problem(
                said, way_out if one.kind in ("Secret", "ConfigMap") else "create it, or name one that exists"
            )
        else:
            survey.note(f"{said}: an image that needs it cannot be pulled")
    if any(not (item["spec"].get("ingressClassName")) for item in survey.of("Ingress")):
        _default_ingress_class(survey)


def _keys(survey: Survey, needed: _references.Reference, there: Object) -> None:
    held = {**(there.get("data") or {}), **(there.get("binaryData") or {})}
    missing = ", ".join(key for key in needed.keys if key not in held)
    if missing:
        message = f"{needed.owner} needs {missing} of {needed.kind} {needed.name!r} in {needed.namespace}"
        survey.problem(f"{message}, which has it not", "add it to that object")


def _default_ingress_class(survey: Survey) -> None:
    found = survey.listed("/apis/networking.k8s.io/v1/ingressclasses", "whether there is a default IngressClass")
    key = "ingressclass.kubernetes.io/is-default-class"
    if found is not None and not any((one["metadata"].get("annotations") or {}).get(key) == "true" for one in found):
        survey.note("an Ingress names no class and no IngressClass is the default: no controller may take it up")
