# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Preflight: the API server and what one may do there; kinds, namespace, and what the release only refers to."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .._errors import ApiError, ClusterError
from ..cluster._cluster import in_parallel
from ..objects import _references
from ..objects._manifest import Object
from ..objects._namespaces import absent_namespaces
from . import _permissions
from ._context import PreflightContext
from ._dry_run_pod import POD_REFERENCES
from ._permissions import RBAC, Need

OLDEST = (1, 27)
"""The oldest Kubernetes whose gRPC probes and server-side apply are both generally available."""
_VERSION = re.compile(r"^v?([0-9]+)\.([0-9]+)")


def api(context: PreflightContext) -> str:
    """:raises ClusterError: when the API server cannot be asked at all."""
    version = str(context.cluster.request("GET", "/version").get("gitVersion", ""))
    found = _VERSION.match(version)
    oldest = ".".join(str(part) for part in OLDEST)
    if not found:
        context.add_note(f"the version {version!r} cannot be read; releases need Kubernetes {oldest} or later")
    elif (int(found[1]), int(found[2])) < OLDEST:
        context.add_problem(
            f"the cluster runs Kubernetes {version}, releases need {oldest} or later", "upgrade the cluster"
        )
    return f"{context.cluster.access.server} runs Kubernetes {version}"


def namespace(context: PreflightContext) -> None:
    try:
        context.absent = absent_namespaces(context.cluster, context.objects, context.namespace)
    except ApiError as error:
        context.add_note(f"the namespace could not be checked: {error.message}")
    except ClusterError as error:  # it is terminating, or missing
        context.add_problem(error.message, error.way_out)


def kinds(context: PreflightContext) -> None:
    specs = [crd["spec"] for crd in context.of_kind("CustomResourceDefinition")]
    brought = {(spec["group"], spec["names"]["kind"]) for spec in specs}
    for version, kind in sorted({(item["apiVersion"], item["kind"]) for item in context.objects}):
        if not context.served(version, kind) and (version.rpartition("/")[0], kind) not in brought:
            served = context.discovery.serving(version.rpartition("/")[0], kind)
            way_out = f"it is served as {', '.join(served)}" if served else "install its CustomResourceDefinition"
            context.add_problem(f"the cluster does not know {kind} of {version}", way_out)


def permissions(context: PreflightContext) -> None:
    """Ask after every verb the release needs, by SelfSubjectAccessReview."""
    plan = _permissions.Plan(
        context.release, context.namespace, context.objects, context.served, history_limit=context.history_limit
    )
    denied = _denied(context, _permissions.needs(plan))
    granted = [need for need in denied if need.granted]
    if granted and _may_escalate(context):
        denied = [need for need in denied if not need.granted]
    way_out = "have a Role granted that allows it: permissions_info prints it (playbooks/permissions.yml)"
    for purpose, said in _said(need for need in denied if need.essential):
        context.add_problem(f"you may not {said}, to {purpose}", way_out)
    for purpose, said in _said(need for need in denied if not need.essential):
        context.add_note(f"you may not {said}: without it the release cannot {purpose}")


def _denied(context: PreflightContext, wanted: list[Need]) -> list[Need]:
    """Those not allowed. First each verb is asked for all names, then by name only where that was refused."""

    def wide(need: Need) -> Need:
        return Need(need.namespace, need.group, need.resource, need.verb, path=need.path)

    broad = sorted({wide(need) for need in wanted})
    allowed = dict(zip(broad, in_parallel(lambda need: _allowed(context, need), broad, 8), strict=True))
    refused = [need for need in wanted if not allowed[wide(need)]]
    by_name = [need for need in refused if need.name]
    held = dict(zip(by_name, in_parallel(lambda need: _allowed(context, need), by_name, 8), strict=True))
    return [need for need in refused if not held.get(need, False)]


def _allowed(context: PreflightContext, need: Need) -> bool:
    resource, _slash, subresource = need.resource.partition("/")
    attributes = {"verb": need.verb, "group": need.group, "resource": resource, "subresource": subresource,
                  "namespace": need.namespace, "name": need.name}  # fmt: skip
    spec: Object = {"resourceAttributes": attributes}
    if need.path:
        spec = {"nonResourceAttributes": {"path": need.path, "verb": need.verb}}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec}
    answer = context.cluster.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=body)
    return bool(answer["status"]["allowed"])


def _may_escalate(context: PreflightContext) -> bool:
    """Whether RBAC's escalation prevention is lifted for this user, who then need not hold what the Roles give."""
    asked = [(kind, verb) for kind in ("Role", "ClusterRole") if context.of_kind(kind) for verb in ("escalate", "bind")]
    return all(_allowed(context, Need(context.namespace, RBAC, f"{kind.lower()}s", verb)) for kind, verb in asked)


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


def references(context: PreflightContext) -> None:
    for one in _references.outside(context.objects):
        if one.kind in POD_REFERENCES and one.owner not in context.not_asked:
            continue  # the API server looked it up when it was asked about the pod
        there: Object | None = {}
        if one.namespace not in context.absent:
            there = context.read(one.path, f"whether {one.kind} {one.name!r} exists")
        if there:
            _keys(context, one, there)
        if there is None or there:
            continue
        where = f" in {one.namespace}" if one.namespace else ""
        said = f"{one.owner} needs {one.kind} {one.name!r}{where}, which does not exist"
        if one.vital:
            flag = f" -n {one.namespace}" if one.namespace else ""
            way_out = f"create it, or let the release bring it: kubectl{flag} create {one.kind.lower()} …"
            context.add_problem(
                said, way_out if one.kind in ("Secret", "ConfigMap") else "create it, or name one that exists"
            )
        else:
            context.add_note(f"{said}: an image that needs it cannot be pulled")
    if any(not (item["spec"].get("ingressClassName")) for item in context.of_kind("Ingress")):
        _default_ingress_class(context)


def _keys(context: PreflightContext, needed: _references.Reference, there: Object) -> None:
    held = {**(there.get("data") or {}), **(there.get("binaryData") or {})}
    missing = ", ".join(key for key in needed.keys if key not in held)
    if missing:
        message = f"{needed.owner} needs {missing} of {needed.kind} {needed.name!r} in {needed.namespace}"
        context.add_problem(f"{message}, which has it not", "add it to that object")


def _default_ingress_class(context: PreflightContext) -> None:
    found = context.read_list("/apis/networking.k8s.io/v1/ingressclasses", "whether there is a default IngressClass")
    key = "ingressclass.kubernetes.io/is-default-class"
    if found is not None and not any((one["metadata"].get("annotations") or {}).get(key) == "true" for one in found):
        context.add_note("an Ingress names no class and no IngressClass is the default: no controller may take it up")
