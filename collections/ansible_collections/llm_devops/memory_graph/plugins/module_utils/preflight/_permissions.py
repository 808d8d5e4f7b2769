# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""What a deployer must be allowed to do for a release: the one list that preflight asks after and the manifest grants.

Pure. Objects are created by server-side apply, whose ``create`` the API server authorises with the object's name, other
than a POST's: so every write can be restricted to the names of the release, and only collections cannot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from .._json import text
from ..cluster._discovery import Resource
from ..objects import _references, _resource_requests
from ..objects._manifest import Object, record_name
from ..release import _prerequisites, _revisions
from ..release._history import HISTORY_LIMIT
from ._dry_run_pod import POD_REFERENCES, name_of

RBAC = "rbac.authorization.k8s.io"
POD_SECURITY = "restricted"
DATA_RESOURCES = frozenset({"persistentvolumeclaims", "namespaces"})


class Served(Protocol):
    """Finds the resource of a kind, as discovery does; None when the cluster does not serve it."""

    def __call__(self, api_version: str, kind: str, /) -> Resource | None: ...


@dataclass(frozen=True, order=True)
class Need:
    """One verb on one resource; ``namespace`` empty is cluster scope, ``name`` empty is every name.

    What is not ``essential`` makes the release say less, not fail: ``purpose`` is what it is for. ``group`` and
    ``resource`` are empty for a ``path`` that is no resource. ``granted`` needs are held only to be passed on: RBAC
    lets nobody create a Role with more than they have.
    """

    namespace: str
    group: str
    resource: str
    verb: str
    name: str = ""
    path: str = ""
    purpose: str = field(default="", compare=False)
    essential: bool = field(default=True, compare=False)
    granted: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class Plan:
    """The release somebody is to be allowed to make.

    ``delete_data``: also to delete the PersistentVolumeClaims and the Namespace of the release. ``history_limit``: how
    many revisions it remembers. ``read_secrets`` and ``create_secrets``: Secrets of the namespace that are read, or
    created when they are missing, before it; ``create_namespace``: so is the Namespace. Without objects there is that
    alone.
    """

    release: str
    namespace: str
    objects: list[Object]
    served: Served
    delete_data: bool = False
    history_limit: int = HISTORY_LIMIT
    read_secrets: tuple[str, ...] = ()
    create_secrets: tuple[str, ...] = ()
    create_namespace: bool = False


def needs(*plans: Plan) -> list[Need]:
    """Everything the engine may ask the API server for while it plans, applies, waits, prunes, verifies and records."""
    found = [need for plan in plans for need in _of(plan)]
    once = {need: need for need in reversed(found)}  # the first to ask says what for
    return sorted(need for need in once.values() if not need.name or replace(need, name="") not in once)


def _of(plan: Plan) -> Iterator[Need]:
    yield from _before(plan)
    if plan.objects:
        yield from (*_record(plan), *_members(plan), *_pods(plan), *_granted(plan), *_looks(plan))


def _before(plan: Plan) -> Iterator[Need]:
    """What is had before the release. The Namespace is the manifest's to make: a POST is not restricted to a name."""
    if plan.create_namespace:
        yield from _verbs("get", "", "", "namespaces", "see whether the namespace is there", name=plan.namespace)
    for name in (*plan.create_secrets, *plan.read_secrets):
        yield from _verbs("get", plan.namespace, "", "secrets", f"read the credentials in {name}", name=name)
    if plan.create_secrets:
        yield from _verbs(
            "create", plan.namespace, "", "secrets", f"make the credentials {', '.join(plan.create_secrets)}"
        )


def _verbs(verbs: str, namespace: str, group: str, resource: str, purpose: str, *, name: str = "",
           essential: bool = True) -> Iterator[Need]:  # fmt: skip
    for verb in verbs.split():
        yield Need(namespace, group, resource, verb, name, purpose=purpose, essential=essential)


def _members(plan: Plan) -> Iterator[Need]:
    """Read, write, watch and prune the objects themselves."""
    placed: dict[Resource, list[Object]] = {}
    for item in plan.objects:
        resource = plan.served(item["apiVersion"], item["kind"])
        if resource:
            placed.setdefault(resource, []).append(item)
    purpose = "apply, watch and prune the objects of the release"
    for resource, items in placed.items():
        keep = resource.plural in DATA_RESOURCES and not plan.delete_data
        single = items[0]["metadata"]["name"] if len(items) == 1 else ""
        for item in items:
            home = item["metadata"].get("namespace", "") if resource.namespaced else ""
            what = (home, resource.group, resource.plural, purpose)
            yield from _verbs(f"get create patch{'' if keep else ' delete'}", *what, name=item["metadata"]["name"])
            if resource.namespaced and resource.plural != "secrets":
                yield from _verbs("list watch", *what)
            else:  # one by one: nobody needs to see all Namespaces, or the content of every Secret
                yield from _verbs("watch", *what, name=single)


def _record(plan: Plan) -> Iterator[Need]:
    """The record, the revisions it can go back to, and the lock."""
    home, name = plan.namespace, record_name(plan.release)
    keep = f"keep the release's record {name} and its revisions {name}.slot<N>"
    for secret in (name, *_revisions.secret_names(plan.release, plan.objects, plan.history_limit)):
        yield from _verbs("get create patch delete", home, "", "secrets", keep, name=secret)
    lock = f"hold the release's lock {name}"
    yield from _verbs("create", home, "coordination.k8s.io", "leases", lock)  # a POST, which is authorised without name
    yield from _verbs("get update delete", home, "coordination.k8s.io", "leases", lock, name=name)


def _pods(plan: Plan) -> Iterator[Need]:
    """What waiting, diagnosis and verification do with the pods of the release."""
    workloads = list(_resource_requests.pods(plan.objects))
    scaled = any(item["kind"] == "HorizontalPodAutoscaler" for item in plan.objects)
    fixed = not scaled and all(one.kind == "StatefulSet" for one in workloads)
    for here in sorted({one.namespace for one in workloads}):
        owners = [one for one in workloads if one.namespace == here]
        stable = [f"{one.name}-{index}" for one in owners for index in range(one.replicas)] if fixed else []
        yield from _verbs("list watch", here, "", "pods", "wait for the pods")
        yield from _verbs("watch", here, "", "events", "say why a pod does not start")
        yield from _verbs("watch", here, "apps", "replicasets", "say what still serves", essential=False)
        yield from _verbs("list", here, "discovery.k8s.io", "endpointslices", "verify the Services")
        for name in stable or [""]:
            yield from _verbs(
                "get", here, "", "pods/log", "show a crashed pod's last lines", name=name, essential=False
            )
            # a WebSocket is opened by GET, which is authorised as get and, since Kubernetes 1.35, as create too
            yield from _verbs("get create", here, "", "pods/portforward", "verify the pods", name=name)
            if any(one.kind == "StatefulSet" for one in owners):  # it waits for ever for a broken pod of before
                yield from _verbs("delete", here, "", "pods", "replace broken pods", name=name)


def _granted(plan: Plan) -> Iterator[Need]:
    """The content of the release's own Roles, and the right to bind Roles that are not its own."""
    own = {(item["kind"], item["metadata"]["name"]) for item in plan.objects if item["kind"] in ("Role", "ClusterRole")}
    for item in plan.objects:
        namespace, name = item["metadata"].get("namespace", ""), item["metadata"]["name"]
        if item["kind"] in ("Role", "ClusterRole"):
            for rule in item.get("rules") or []:
                yield from _of_rule(rule, namespace if item["kind"] == "Role" else "", f"grant {item['kind']}/{name}")
        if item["kind"] in ("RoleBinding", "ClusterRoleBinding"):
            kind, role = item["roleRef"]["kind"], item["roleRef"]["name"]
            if (kind, role) not in own:
                where = namespace if item["kind"] == "RoleBinding" else ""
                yield from _verbs("bind", where, RBAC, f"{kind.lower()}s", f"bind {kind}/{role}", name=role)


def _of_rule(rule: Object, namespace: str, purpose: str) -> Iterator[Need]:
    for verb in rule.get("verbs") or []:
        for path in rule.get("nonResourceURLs") or []:
            yield Need("", "", "", verb, path=path, purpose=purpose, granted=True)
        for group in rule.get("apiGroups") or []:
            for resource in rule.get("resources") or []:
                for name in rule.get("resourceNames") or [""]:
                    yield Need(namespace, group, resource, verb, name, purpose=purpose, granted=True)


def _looks(plan: Plan) -> Iterator[Need]:
    """What preflight and waiting look at beside the release. Without it they say so and go on."""

    def look(
        group: str, resource: str, verbs: str, purpose: str, namespace: str = "", name: str = ""
    ) -> Iterator[Need]:
        return _verbs(verbs, namespace, group, resource, purpose, name=name, essential=False)

    for namespace in sorted({plan.namespace, *(item["metadata"].get("namespace", "") for item in plan.objects)} - {""}):
        yield from look("", "namespaces", "get", "see whether the namespace is there", name=namespace)
    for resource in ("limitranges", "resourcequotas"):
        yield from look("", resource, "list", "check the namespace's limits", plan.namespace)
    claims = [spec for _name, spec, _count in _resource_requests.claims(plan.objects)]
    if claims:
        yield from look("storage.k8s.io", "storageclasses", "get list", "check storage classes")
    for volume in sorted({text(spec, "volumeName") for spec in claims} - {""}):
        yield from look("", "persistentvolumes", "get", "see whether the volume of a claim is there", name=volume)
    workloads = list(_resource_requests.pods(plan.objects))
    if workloads:
        yield from look("", "nodes", "list", "check node selectors, sizes of nodes and images")
    for workload in workloads:  # a dry run is authorised like a write
        purpose = "ask whether its pods are admitted"
        yield from look("", "pods", "create patch", purpose, workload.namespace, name_of(workload))
    for one in (reference for reference in _references.outside(plan.objects) if reference.kind not in POD_REFERENCES):
        yield from look(
            one.group, one.plural, "get", f"see whether {one.kind} {one.name} is there", one.namespace, one.name
        )


def rules(found: Iterable[Need]) -> dict[str, list[Object]]:
    """RBAC rules per namespace (cluster scope is ``""``), as few as say exactly the same."""
    verbs: dict[tuple[str, str, str, str, str], set[str]] = {}
    for need in found:
        key = (need.namespace, need.group, need.resource, need.name, need.path)
        verbs.setdefault(key, set()).add(need.verb)
    named: dict[tuple[str, str, str, str, tuple[str, ...], bool], set[str]] = {}
    for (namespace, group, resource, name, path), allowed in verbs.items():
        row = (namespace, group, resource, path, tuple(sorted(allowed)), bool(name))
        named.setdefault(row, set()).add(name)
    merged: dict[tuple[str, str, str, tuple[str, ...], tuple[str, ...]], set[str]] = {}
    for (namespace, group, resource, path, allowed_verbs, restricted), names in named.items():
        form = (namespace, group, path, allowed_verbs, tuple(sorted(names)) if restricted else ())
        merged.setdefault(form, set()).add(resource)
    result: dict[str, list[Object]] = {}
    for (namespace, group, path, allowed_verbs, names_of), resources in sorted(merged.items()):
        rule: Object = {"apiGroups": [group], "resources": sorted(resources)}
        if path:
            rule = {"nonResourceURLs": [path]}
        elif names_of:
            rule["resourceNames"] = list(names_of)
        result.setdefault(namespace, []).append({**rule, "verbs": list(allowed_verbs)})
    return result


def manifest(*plans: Plan, account: str, optional: bool = True) -> list[Object]:
    """Namespaces (those the releases bring: Roles cannot be granted before), ServiceAccount, Roles and their bindings.

    :param plans: the releases of one deployer. The ServiceAccount lives in the namespace of the first.
    :param optional: whether what is not essential is granted too; without it preflight has less to say.
    """
    granted = rules(need for need in needs(*plans) if need.essential or optional)
    home = plans[0].namespace
    objects = _namespaces(plans)
    objects.append({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "namespace": home},
                    "automountServiceAccountToken": False})  # fmt: skip
    subject = {"kind": "ServiceAccount", "name": account, "namespace": home}
    for namespace, allowed in granted.items():
        kind, name = ("Role", account) if namespace else ("ClusterRole", f"{home}-{account}")
        metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
        objects.append({"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": metadata, "rules": allowed})
        objects.append({"apiVersion": f"{RBAC}/v1", "kind": f"{kind}Binding", "metadata": metadata,
                        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": name}, "subjects": [subject]})  # fmt: skip
    return objects


def _namespaces(plans: Sequence[Plan]) -> list[Object]:
    """One that is an object of a release gets the rest from it; one that belongs to none is whole."""
    found: dict[str, Object] = {}
    for plan in plans:
        if plan.create_namespace:
            found[plan.namespace] = _prerequisites.namespace(plan.namespace, {}, POD_SECURITY)
    for plan in plans:
        for name in (item["metadata"]["name"] for item in plan.objects if item["kind"] == "Namespace"):
            found[name] = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    return list(found.values())
