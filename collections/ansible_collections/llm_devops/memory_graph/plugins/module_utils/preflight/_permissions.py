# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The permissions that a deployer needs for a release: one list that preflight asks after and the manifest grants.

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


class ResourceFinder(Protocol):
    """Finds the resource of a kind, as discovery does; None when the cluster does not serve it."""

    def __call__(self, api_version: str, kind: str, /) -> Resource | None: ...


@dataclass(frozen=True, order=True)
class Permission:
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
class PlannedRelease:
    """A release that a deployer is to be allowed to make.

    ``delete_data``: also to delete the PersistentVolumeClaims and the Namespace of the release. ``history_limit``: how
    many revisions it remembers. ``read_secrets`` and ``create_secrets``: Secrets of the namespace that are read, or
    created when they are missing, before it; ``create_namespace``: so is the Namespace. Without objects there is that
    alone.
    """

    name: str
    namespace: str
    objects: list[Object]
    served: ResourceFinder
    delete_data: bool = False
    history_limit: int = HISTORY_LIMIT
    read_secrets: tuple[str, ...] = ()
    create_secrets: tuple[str, ...] = ()
    create_namespace: bool = False


def required_permissions(*releases: PlannedRelease) -> list[Permission]:
    """Everything the engine may ask the API server for while it plans, applies, waits, prunes, verifies and records."""
    permissions = [permission for release in releases for permission in _of(release)]
    unique = {permission: permission for permission in reversed(permissions)}  # the first to ask says what for
    return sorted(
        permission
        for permission in unique.values()
        if not permission.name or replace(permission, name="") not in unique
    )


def _of(release: PlannedRelease) -> Iterator[Permission]:
    yield from _before(release)
    if release.objects:
        yield from (*_record(release), *_members(release), *_pods(release), *_granted(release), *_reads(release))


def _before(release: PlannedRelease) -> Iterator[Permission]:
    """Return the permissions for objects made before the release.

    The Namespace is made by the manifest, as a POST cannot be restricted to a name.
    """
    if release.create_namespace:
        yield from _verbs("get", "", "", "namespaces", "see whether the namespace is there", name=release.namespace)
    for name in (*release.create_secrets, *release.read_secrets):
        yield from _verbs("get", release.namespace, "", "secrets", f"read the credentials in {name}", name=name)
    if release.create_secrets:
        yield from _verbs(
            "create", release.namespace, "", "secrets", f"make the credentials {', '.join(release.create_secrets)}"
        )


def _verbs(verbs: str, namespace: str, group: str, resource: str, purpose: str, *, name: str = "",
           essential: bool = True) -> Iterator[Permission]:  # fmt: skip
    for verb in verbs.split():
        yield Permission(namespace, group, resource, verb, name, purpose=purpose, essential=essential)


def _members(release: PlannedRelease) -> Iterator[Permission]:
    """Return the permissions to read, write, watch and prune the objects themselves."""
    items_by_resource: dict[Resource, list[Object]] = {}
    for item in release.objects:
        resource = release.served(item["apiVersion"], item["kind"])
        if resource:
            items_by_resource.setdefault(resource, []).append(item)
    purpose = "apply, watch and prune the objects of the release"
    for resource, items in items_by_resource.items():
        keep = resource.plural in DATA_RESOURCES and not release.delete_data
        single = items[0]["metadata"]["name"] if len(items) == 1 else ""
        for item in items:
            home = item["metadata"].get("namespace", "") if resource.namespaced else ""
            target = (home, resource.group, resource.plural, purpose)
            yield from _verbs(f"get create patch{'' if keep else ' delete'}", *target, name=item["metadata"]["name"])
            if resource.namespaced and resource.plural != "secrets":
                yield from _verbs("list watch", *target)
            else:  # one by one: nobody needs to see all Namespaces, or the content of every Secret
                yield from _verbs("watch", *target, name=single)


def _record(release: PlannedRelease) -> Iterator[Permission]:
    """The record, the revisions it can go back to, and the lock."""
    home, name = release.namespace, record_name(release.name)
    keep = f"keep the release's record {name} and its revisions {name}.slot<N>"
    for secret in (name, *_revisions.secret_names(release.name, release.objects, release.history_limit)):
        yield from _verbs("get create patch delete", home, "", "secrets", keep, name=secret)
    lock = f"hold the release's lock {name}"
    yield from _verbs("create", home, "coordination.k8s.io", "leases", lock)  # a POST, which is authorised without name
    yield from _verbs("get update delete", home, "coordination.k8s.io", "leases", lock, name=name)


def _pods(release: PlannedRelease) -> Iterator[Permission]:
    """Return the permissions to wait for the pods of the release, to diagnose and to verify them."""
    workloads = list(_resource_requests.pods(release.objects))
    scaled = any(item["kind"] == "HorizontalPodAutoscaler" for item in release.objects)
    fixed = not scaled and all(workload.kind == "StatefulSet" for workload in workloads)
    for namespace in sorted({workload.namespace for workload in workloads}):
        owners = [workload for workload in workloads if workload.namespace == namespace]
        stable = (
            [f"{workload.name}-{index}" for workload in owners for index in range(workload.replicas)] if fixed else []
        )
        yield from _verbs("list watch", namespace, "", "pods", "wait for the pods")
        yield from _verbs("watch", namespace, "", "events", "say why a pod does not start")
        yield from _verbs("watch", namespace, "apps", "replicasets", "say what still serves", essential=False)
        yield from _verbs("list", namespace, "discovery.k8s.io", "endpointslices", "verify the Services")
        for name in stable or [""]:
            yield from _verbs(
                "get", namespace, "", "pods/log", "show a crashed pod's last lines", name=name, essential=False
            )
            # a WebSocket is opened by GET, which is authorised as get and, since Kubernetes 1.35, as create too
            yield from _verbs("get create", namespace, "", "pods/portforward", "verify the pods", name=name)
            if any(workload.kind == "StatefulSet" for workload in owners):  # which waits for ever for a broken pod
                yield from _verbs("delete", namespace, "", "pods", "replace broken pods", name=name)


def _granted(release: PlannedRelease) -> Iterator[Permission]:
    """The content of the release's own Roles, and the right to bind Roles that are not its own."""
    own_roles = {
        (item["kind"], item["metadata"]["name"]) for item in release.objects if item["kind"] in ("Role", "ClusterRole")
    }
    for item in release.objects:
        namespace, name = item["metadata"].get("namespace", ""), item["metadata"]["name"]
        if item["kind"] in ("Role", "ClusterRole"):
            for rule in item.get("rules") or []:
                yield from _of_rule(rule, namespace if item["kind"] == "Role" else "", f"grant {item['kind']}/{name}")
        if item["kind"] in ("RoleBinding", "ClusterRoleBinding"):
            kind, role = item["roleRef"]["kind"], item["roleRef"]["name"]
            if (kind, role) not in own_roles:
                where = namespace if item["kind"] == "RoleBinding" else ""
                yield from _verbs("bind", where, RBAC, f"{kind.lower()}s", f"bind {kind}/{role}", name=role)


def _of_rule(rule: Object, namespace: str, purpose: str) -> Iterator[Permission]:
    for verb in rule.get("verbs") or []:
        for path in rule.get("nonResourceURLs") or []:
            yield Permission("", "", "", verb, path=path, purpose=purpose, granted=True)
        for group in rule.get("apiGroups") or []:
            for resource in rule.get("resources") or []:
                for name in rule.get("resourceNames") or [""]:
                    yield Permission(namespace, group, resource, verb, name, purpose=purpose, granted=True)


def _reads(release: PlannedRelease) -> Iterator[Permission]:
    """Return the permissions to read beside the release. Without them preflight and waiting say so and go on."""

    def read(
        group: str, resource: str, verbs: str, purpose: str, namespace: str = "", name: str = ""
    ) -> Iterator[Permission]:
        return _verbs(verbs, namespace, group, resource, purpose, name=name, essential=False)

    for namespace in sorted(
        {release.namespace, *(item["metadata"].get("namespace", "") for item in release.objects)} - {""}
    ):
        yield from read("", "namespaces", "get", "see whether the namespace is there", name=namespace)
    for resource in ("limitranges", "resourcequotas"):
        yield from read("", resource, "list", "check the namespace's limits", release.namespace)
    claims = [spec for _name, spec, _count in _resource_requests.claims(release.objects)]
    if claims:
        yield from read("storage.k8s.io", "storageclasses", "get list", "check storage classes")
    for volume in sorted({text(spec, "volumeName") for spec in claims} - {""}):
        yield from read("", "persistentvolumes", "get", "see whether the volume of a claim is there", name=volume)
    workloads = list(_resource_requests.pods(release.objects))
    if workloads:
        yield from read("", "nodes", "list", "check node selectors, sizes of nodes and images")
    for workload in workloads:  # a dry run is authorised like a write
        purpose = "ask whether its pods are admitted"
        yield from read("", "pods", "create patch", purpose, workload.namespace, name_of(workload))
    for reference in _references.outside(release.objects):
        purpose = f"see whether {reference.kind} {reference.name} is there"
        if reference.kind not in POD_REFERENCES:
            yield from read(reference.group, reference.plural, "get", purpose, reference.namespace, reference.name)


def rules(permissions: Iterable[Permission]) -> dict[str, list[Object]]:
    """RBAC rules per namespace (cluster scope is ``""``), as few as say exactly the same."""
    verbs: dict[tuple[str, str, str, str, str], set[str]] = {}
    for permission in permissions:
        key = (permission.namespace, permission.group, permission.resource, permission.name, permission.path)
        verbs.setdefault(key, set()).add(permission.verb)
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


def manifest(*releases: PlannedRelease, account: str, optional: bool = True) -> list[Object]:
    """Namespaces (those the releases bring: Roles cannot be granted before), ServiceAccount, Roles and their bindings.

    :param releases: the releases of one deployer. The ServiceAccount lives in the namespace of the first.
    :param optional: whether what is not essential is granted too; without it preflight has less to say.
    """
    granted = rules(permission for permission in required_permissions(*releases) if permission.essential or optional)
    home = releases[0].namespace
    objects = _namespaces(releases)
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


def _namespaces(releases: Sequence[PlannedRelease]) -> list[Object]:
    """One that is an object of a release gets the rest from it; one that belongs to none is whole."""
    namespaces: dict[str, Object] = {}
    for release in releases:
        if release.create_namespace:
            namespaces[release.namespace] = _prerequisites.namespace(release.namespace, {}, POD_SECURITY)
    for release in releases:
        for name in (item["metadata"]["name"] for item in release.objects if item["kind"] == "Namespace"):
            namespaces[name] = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    return list(namespaces.values())
