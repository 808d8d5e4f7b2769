# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Preflight: ResourceQuota and LimitRange as the namespace will have them; storage classes and metrics APIs."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from .._errors import ApiError
from .._json import mapping, mappings
from ..objects import _resource_requests
from ..objects._manifest import Object
from ..objects._quantity import parse, show
from ..objects._resource_requests import Pods
from . import _storage_classes
from ._context import PreflightContext


def storage(context: PreflightContext) -> None:
    claims = list(_resource_requests.claims(context.objects))
    listed = claims and context.read_list("/apis/storage.k8s.io/v1/storageclasses", "storage classes")
    if not listed and not isinstance(listed, list):
        return
    classes = {item["metadata"]["name"]: item for item in [*listed, *context.of_kind("StorageClass")]}
    way_out = f"name one of: {', '.join(sorted(classes))}" if classes else "the cluster has none: install a provisioner"
    for name, spec, _count in claims:
        class_name = spec.get("storageClassName", _storage_classes.default(classes))
        if spec.get("volumeName") or (class_name == "" and "storageClassName" in spec):
            continue  # bound to a volume somebody made by hand
        if not class_name:
            context.add_problem(f"claim {name} names no class and the cluster has no default", way_out)
        elif class_name not in classes:
            context.add_problem(f"claim {name} wants class {class_name!r}, which does not exist", way_out)
        else:
            _access_modes(context, name, spec, classes[class_name])


def _access_modes(context: PreflightContext, name: str, spec: Object, storage_class: Object) -> None:
    provisioner, class_name = storage_class["provisioner"], storage_class["metadata"]["name"]
    available = _storage_classes.modes(provisioner, spec.get("volumeMode", "Filesystem"))
    requested = set(spec.get("accessModes") or [])
    if available is None:
        if requested - {"ReadWriteOnce"}:
            modes = ", ".join(sorted(requested))
            context.add_note(f"whether class {class_name!r} ({provisioner}) gives {modes} for {name} is not known here")
    elif requested - available:
        context.add_problem(
            f"class {class_name!r} has no {', '.join(sorted(requested - available))} for {name}",
            f"use {' or '.join(sorted(available))}, or another class",
        )


_METRICS = {
    "Resource": ("metrics.k8s.io", "needs metrics-server"),
    "ContainerResource": ("metrics.k8s.io", "needs metrics-server"),
    "Pods": ("custom.metrics.k8s.io", "needs an adapter, such as prometheus-adapter"),
    "Object": ("custom.metrics.k8s.io", "needs an adapter, such as prometheus-adapter"),
    "External": ("external.metrics.k8s.io", "needs an adapter, such as prometheus-adapter or KEDA"),
}


def metrics(context: PreflightContext) -> None:
    """An autoscaler without its metrics holds still; it stops no release."""
    owners_by_type: dict[str, list[str]] = {}
    for item in context.of_kind("HorizontalPodAutoscaler"):
        for metric in item["spec"].get("metrics") or [{"type": "Resource"}]:
            owners = owners_by_type.setdefault(str(metric.get("type")), [])
            owners += [item["metadata"]["name"]] if item["metadata"]["name"] not in owners else []
    groups: dict[str, tuple[str, set[str]]] = {}
    for kind, owners in owners_by_type.items():
        group, requirement = _METRICS.get(kind, ("", ""))
        if group:
            groups.setdefault(group, (requirement, set()))[1].update(owners)
    for group, (requirement, names) in sorted(groups.items()):
        try:
            served = bool(context.cluster.find(f"/apis/{group}"))
        except ApiError:  # registered, and its adapter does not answer
            served = False
        if not served:
            context.add_note(
                f"no API {group}: autoscaler {', '.join(sorted(names))} holds still on its metrics ({requirement})"
            )


def _both(context: PreflightContext, kind: str, plural: str) -> list[tuple[Object, Object]]:
    """``(as it will be, as it is)`` of the release's own and the namespace's other objects of a kind."""
    planned = {
        item["metadata"]["name"]: item
        for item in context.of_kind(kind)
        if item["metadata"]["namespace"] == context.namespace
    }
    live = {item["metadata"]["name"]: item for item in context.list_home(plural, f"the namespace's {plural}") or []}
    return [(planned.get(name) or live[name], live.get(name, {})) for name in sorted({*planned, *live})]


def _defaults(context: PreflightContext) -> dict[str, Any]:
    ranges = [mappings(item, "spec", "limits") for item, _live in _both(context, "LimitRange", "limitranges")]
    limits = [limit for item in ranges for limit in item if limit.get("type") == "Container"]
    return {key: value for limit in limits for key, value in limit.items() if key in ("default", "defaultRequest")}


def quota(context: PreflightContext) -> None:
    quotas = _both(context, "ResourceQuota", "resourcequotas")
    if not quotas:
        return
    running, defaults = _running(context), _defaults(context)
    demand = _resource_requests.total(context.objects, context.namespace, defaults)
    updated = frozenset(f"{item['kind']}/{item['metadata']['name']}" for item in running)
    peak = _resource_requests.total(context.objects, context.namespace, defaults, updated)
    own_use = _resource_requests.total(running, context.namespace, {})
    for item, live in quotas:
        name, spec = item["metadata"]["name"], mapping(item, "spec")
        if spec.get("scopes") or spec.get("scopeSelector"):
            context.add_note(
                f"ResourceQuota {name!r} counts certain pods only; whether it leaves enough is not computed here"
            )
            continue
        used = mapping(live, "status", "used")
        for resource, limit in mapping(spec, "hard").items():
            requested = demand.get(resource, Decimal(0))
            others = max(parse(used.get(resource, "0")) - own_use.get(resource, Decimal(0)), Decimal(0))
            free = max(parse(limit) - others, Decimal(0))
            leaves = f"ResourceQuota {name!r} leaves {show(free, resource)}"
            if requested > free:
                context.add_problem(
                    f"{resource} would be {show(requested, resource)}, {leaves}",
                    "lower requests or replicas, or raise the quota",
                )
            elif peak.get(resource, requested) > free:  # whether the pods change is known after the plan only
                needed = show(peak[resource], resource)
                context.add_note(
                    f"a rolling update needs {resource} {needed}, {leaves}: it stands still if the pods change"
                )


def _running(context: PreflightContext) -> list[Object]:
    """The objects of the release as they are now, whose use an update does not ask for again."""
    objects: list[Object] = []
    for item in context.objects if context.namespace not in context.absent else []:
        resource = context.served(item["apiVersion"], item["kind"])
        counted = item["kind"] in (
            *_resource_requests.WORKLOADS,
            "PersistentVolumeClaim",
            "Service",
            "Secret",
            "ConfigMap",
        )
        if resource and counted and item["metadata"].get("namespace") == context.namespace:
            path = resource.path(context.namespace, item["metadata"]["name"])
            live = context.read(path, f"what {item['kind']}/{item['metadata']['name']} uses already")
            objects += [{**live, "kind": item["kind"]}] if live else []
    return objects


def limits(context: PreflightContext) -> None:
    """Claims within every LimitRange, and pods within those of the release, which the API server does not know yet."""
    owners = [owner for owner in _resource_requests.pods(context.objects) if owner.namespace == context.namespace]
    if not owners and not list(_resource_requests.claims(context.objects)):
        return
    planned = [item["metadata"]["name"] for item in context.of_kind("LimitRange")]
    for item, _live in _both(context, "LimitRange", "limitranges"):
        name = item["metadata"]["name"]
        for limit in mappings(item, "spec", "limits"):
            if limit.get("type") == "PersistentVolumeClaim":
                _claims_within(context, limit, name)
            for owner in owners if name in planned else []:
                _pods_within(context, owner, limit, name)


def _pods_within(context: PreflightContext, owner: Pods, limit: Object, name: str) -> None:
    if limit.get("type") == "Pod":
        requests = _resource_requests.of_pod(owner.spec, _defaults(context))
        _within(context, f"a pod of {owner.owner}", requests, limit, name)
    for item in _resource_requests.containers(owner.spec) if limit.get("type") == "Container" else []:
        requests = _resource_requests.of_container(item, limit)
        _within(context, f"container {item['name']} of {owner.owner}", requests, limit, name)


def _claims_within(context: PreflightContext, limit: Object, name: str) -> None:
    for claim, spec, _count in _resource_requests.claims(context.objects):
        size = ((spec.get("resources") or {}).get("requests") or {}).get("storage", "0")
        for bound, exceeds in (("max", parse(size).__gt__), ("min", parse(size).__lt__)):
            bound_size = (limit.get(bound) or {}).get("storage")
            if bound_size and exceeds(parse(bound_size)):
                context.add_problem(
                    f"claim {claim} asks for {size}, LimitRange {name!r} allows {bound} {bound_size}",
                    "change the claim's size, or the LimitRange",
                )


def _within(context: PreflightContext, subject: str, resources: dict[str, Decimal], limit: Object, name: str) -> None:
    for resource, bound in (limit.get("max") or {}).items():
        value = resources.get(f"limits.{resource}")
        if value is not None and value > parse(bound):
            context.add_problem(
                f"{subject} has limits.{resource} {show(value, resource)}, LimitRange {name!r} allows at most {bound}",
                "lower the limit, or raise the LimitRange",
            )
    for resource, bound in (limit.get("min") or {}).items():
        value = resources.get(f"requests.{resource}")
        if value is not None and value < parse(bound):
            context.add_problem(
                f"{subject} requests {resource} {show(value, resource)}, LimitRange {name!r} wants at least {bound}",
                "raise the request, or lower the LimitRange",
            )
