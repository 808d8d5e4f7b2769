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
from ._permissions import RBAC, Permission

OLDEST = (1, 27)
"""The oldest Kubernetes whose gRPC probes and server-side apply are both generally available."""
_VERSION = re.compile(r"^v?([0-9]+)\.([0-9]+)")


def api(context: PreflightContext) -> str:
    """:raises ClusterError: when the API server cannot be asked at all."""
    version = str(context.cluster.request("GET", "/version").get("gitVersion", ""))
    match = _VERSION.match(version)
    oldest = ".".join(str(part) for part in OLDEST)
    if not match:
        context.add_note(f"the version {version!r} cannot be read; releases need Kubernetes {oldest} or later")
    elif (int(match[1]), int(match[2])) < OLDEST:
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
    created = {(spec["group"], spec["names"]["kind"]) for spec in specs}
    for version, kind in sorted({(item["apiVersion"], item["kind"]) for item in context.objects}):
        if not context.served(version, kind) and (version.rpartition("/")[0], kind) not in created:
            served = context.discovery.serving(version.rpartition("/")[0], kind)
            way_out = f"it is served as {', '.join(served)}" if served else "install its CustomResourceDefinition"
            context.add_problem(f"the cluster does not know {kind} of {version}", way_out)


def permissions(context: PreflightContext) -> None:
    """Ask after every verb the release needs, by SelfSubjectAccessReview."""
    release = _permissions.PlannedRelease(
        context.release, context.namespace, context.objects, context.served, history_limit=context.history_limit
    )
    denied = _denied(context, _permissions.required_permissions(release))
    granted = [permission for permission in denied if permission.granted]
    if granted and _may_escalate(context):
        denied = [permission for permission in denied if not permission.granted]
    way_out = "have a Role granted that allows it: permissions_info prints it (playbooks/permissions.yml)"
    for purpose, sentence in _sentences(permission for permission in denied if permission.essential):
        context.add_problem(f"you may not {sentence}, to {purpose}", way_out)
    for purpose, sentence in _sentences(permission for permission in denied if not permission.essential):
        context.add_note(f"you may not {sentence}: without it the release cannot {purpose}")


def _denied(context: PreflightContext, required: list[Permission]) -> list[Permission]:
    """Those not allowed. First each verb is asked for all names, then by name only where that was refused."""

    def wide(permission: Permission) -> Permission:
        return Permission(
            permission.namespace, permission.group, permission.resource, permission.verb, path=permission.path
        )

    broad = sorted({wide(permission) for permission in required})
    allowed = dict(zip(broad, in_parallel(lambda permission: _allowed(context, permission), broad, 8), strict=True))
    refused = [permission for permission in required if not allowed[wide(permission)]]
    by_name = [permission for permission in refused if permission.name]
    allowed_by_name = dict(
        zip(by_name, in_parallel(lambda permission: _allowed(context, permission), by_name, 8), strict=True)
    )
    return [permission for permission in refused if not allowed_by_name.get(permission, False)]


def _allowed(context: PreflightContext, permission: Permission) -> bool:
    resource, _slash, subresource = permission.resource.partition("/")
    attributes = {"verb": permission.verb, "group": permission.group, "resource": resource, "subresource": subresource,
                  "namespace": permission.namespace, "name": permission.name}  # fmt: skip
    spec: Object = {"resourceAttributes": attributes}
    if permission.path:
        spec = {"nonResourceAttributes": {"path": permission.path, "verb": permission.verb}}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec}
    answer = context.cluster.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=body)
    return bool(answer["status"]["allowed"])


def _may_escalate(context: PreflightContext) -> bool:
    """Whether RBAC's escalation prevention is lifted for this user, who then need not hold what the Roles give."""
    verbs = [(kind, verb) for kind in ("Role", "ClusterRole") if context.of_kind(kind) for verb in ("escalate", "bind")]
    return all(_allowed(context, Permission(context.namespace, RBAC, f"{kind.lower()}s", verb)) for kind, verb in verbs)


def _sentences(denied: Iterable[Permission]) -> list[tuple[str, str]]:
    """``(purpose, "create, patch configmaps one, two in namespace demo")``: what differs in its name only, together."""
    verbs: dict[tuple[str, str, str, str], list[str]] = {}
    for permission in denied:
        resource = (
            f"{permission.resource}.{permission.group}" if permission.group else permission.resource or permission.path
        )
        where = f"in namespace {permission.namespace}" if permission.namespace else "at cluster scope"
        verbs.setdefault((permission.purpose, resource, where, permission.name), []).append(permission.verb)
    names: dict[tuple[str, str, str, str], list[str]] = {}
    for (purpose, resource, where, name), verbs_of in verbs.items():
        names.setdefault((purpose, ", ".join(verbs_of), resource, where), []).extend([name] if name else [])
    return [
        (purpose, " ".join(part for part in (verbs_of, resource, _few(names_of), where) if part))
        for (purpose, verbs_of, resource, where), names_of in names.items()
    ]


def _few(names: list[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def references(context: PreflightContext) -> None:
    for reference in _references.outside(context.objects):
        if reference.kind in POD_REFERENCES and reference.owner not in context.not_asked:
            continue  # the API server looked it up when it was asked about the pod
        live: Object | None = {}
        if reference.namespace not in context.absent:
            live = context.read(reference.path, f"whether {reference.kind} {reference.name!r} exists")
        if live:
            _keys(context, reference, live)
        if live is None or live:
            continue
        where = f" in {reference.namespace}" if reference.namespace else ""
        sentence = f"{reference.owner} needs {reference.kind} {reference.name!r}{where}, which does not exist"
        if reference.vital:
            flag = f" -n {reference.namespace}" if reference.namespace else ""
            way_out = f"create it, or let the release bring it: kubectl{flag} create {reference.kind.lower()} …"
            context.add_problem(
                sentence, way_out if reference.kind in ("Secret", "ConfigMap") else "create it, or name one that exists"
            )
        else:
            context.add_note(f"{sentence}: an image that needs it cannot be pulled")
    if any(not (item["spec"].get("ingressClassName")) for item in context.of_kind("Ingress")):
        _default_ingress_class(context)


def _keys(context: PreflightContext, reference: _references.Reference, live: Object) -> None:
    data = {**(live.get("data") or {}), **(live.get("binaryData") or {})}
    missing = ", ".join(key for key in reference.keys if key not in data)
    if missing:
        message = f"{reference.owner} needs {missing} of {reference.kind} {reference.name!r} in {reference.namespace}"
        context.add_problem(f"{message}, which has it not", "add it to that object")


def _default_ingress_class(context: PreflightContext) -> None:
    classes = context.read_list("/apis/networking.k8s.io/v1/ingressclasses", "whether there is a default IngressClass")
    key = "ingressclass.kubernetes.io/is-default-class"
    if classes is not None and not any(
        (item["metadata"].get("annotations") or {}).get(key) == "true" for item in classes
    ):
        context.add_note("an Ingress names no class and no IngressClass is the default: no controller may take it up")
