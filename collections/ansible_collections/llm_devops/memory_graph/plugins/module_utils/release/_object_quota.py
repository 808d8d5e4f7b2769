# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Whether the ResourceQuotas of the namespaces leave room for all that a release creates, taken together.

A dry run is checked against a quota and charged to none, so each object passes by itself and the sum breaks the quota
half way. Counted is what is charged when an object is written: objects, the storage that claims ask for, ports of
Services. Pods of workloads are charged later, and the wait says so. A quota that comes with the release and its
namespace counts all of it as well, and refuses what is written in a later wave than itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from .._errors import ApiError, ClusterError
from .._json import mapping, mappings, strings, text
from ..cluster._cluster import Cluster, in_parallel
from ..kinds._waves import wave_of
from ..objects._quantity import parse, show
from ._history import Record
from ._step import Step

_SHORT = {"Service": "services", "Secret": "secrets", "ConfigMap": "configmaps", "ResourceQuota": "resourcequotas",
          "PersistentVolumeClaim": "persistentvolumeclaims", "ReplicationController": "replicationcontrollers",
          "Pod": "pods"}  # fmt: skip
Charges = dict[str, Decimal]


def check(cluster: Cluster, steps: list[Step], record: Record, absent: set[str], parallelism: int) -> None:
    """Set an error on each step that comes too late for its quota; the release's own record is counted, too."""
    created = [step for step in steps if step.action == "created" and step.resource and not step.error]
    namespaces = sorted({step.ref.namespace for step in created} - {"", *absent})
    quotas = in_parallel(lambda namespace: _quotas(cluster, namespace), namespaces, parallelism)
    held = [(namespace, quota, None) for namespace, found in zip(namespaces, quotas, strict=True) for quota in found]
    for namespace, quota, after in [*held, *_new_quotas(created, absent)]:
        here = [step for step in created if step.ref.namespace == namespace]
        own = _own_secrets(record) if namespace == record.namespace else 0
        _check(quota, here, own, steps, after)


def _new_quotas(created: list[Step], absent: set[str]) -> Iterator[tuple[str, dict[str, Any], int]]:
    """Quotas of namespaces that the release makes, as nothing is charged to them yet, and the wave of each."""
    for step in created:
        if (step.ref.group, step.ref.kind) == ("", "ResourceQuota") and step.ref.namespace in absent:
            unused = dict.fromkeys(mapping(step.manifest, "spec", "hard"), "0")
            yield step.ref.namespace, {**step.manifest, "status": {"used": unused}}, wave_of(step.manifest)


def _quotas(cluster: Cluster, namespace: str) -> list[dict[str, Any]]:
    try:
        return list(cluster.list(f"/api/v1/namespaces/{namespace}/resourcequotas"))
    except ApiError:  # who may not read them is told by the API server
        return []


def _own_secrets(record: Record) -> int:
    """Secrets that the release makes for itself in this run: its record, the first time, and one for its objects."""
    return 1 if record.revision else 2


def _check(quota: dict[str, Any], created: list[Step], own: int, steps: Iterable[Step], after: int | None) -> None:
    """``after``: the wave in which the quota itself is written; None: it is there."""
    spec, name = mapping(quota, "spec"), text(quota, "metadata", "name")
    if mapping(spec, "scopeSelector") or strings(spec, "scopes"):
        return
    planned = (step.manifest for step in steps if (step.ref.kind, step.ref.name) == ("ResourceQuota", name))
    hard = mapping(next(planned, quota), "spec", "hard")
    used = mapping(quota, "status", "used")
    for resource in (one for one in used if one in hard):
        try:
            left = parse(str(hard[resource])) - parse(str(used[resource]))
        except ValueError:
            continue
        _spend(resource, left, created, own if resource in ("secrets", "count/secrets") else 0, name, after)


def _spend(resource: str, left: Decimal, created: list[Step], own: int, name: str, after: int | None) -> None:
    asked = [(step, charges(step).get(resource, Decimal(0))) for step in created]
    total = sum((amount for _step, amount in asked), Decimal(own))
    if total <= left:
        return
    refused = (step for step, amount in reversed(asked) if amount and (after is None or wave_of(step.manifest) > after))
    late = next(refused, None)
    if late is None:
        return
    with_own = f", {own} for its record among them" if own else ""
    late.error = late.error or ClusterError(
        f"{late.ref} does not fit: the release brings {show(total, resource)} of {resource}{with_own}, ResourceQuota"
        f" {name!r} in {late.ref.namespace} leaves {show(left, resource)}",
        "raise the quota, or leave objects out",
    )


def charges(step: Step) -> Charges:
    """What a quota is charged when the object is created. Pure."""
    resource, kind, spec = step.resource, step.ref.kind, mapping(step.manifest, "spec")
    if resource is None:
        return {}
    named = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
    found = {f"count/{named}": Decimal(1)}
    if not resource.group and kind in _SHORT:
        found[_SHORT[kind]] = Decimal(1)
    if not resource.group and kind == "Service" and spec.get("type") in ("LoadBalancer", "NodePort"):
        given = spec.get("allocateLoadBalancerNodePorts") is False
        found["services.nodeports"] = Decimal(0 if given else len(mappings(spec, "ports")))
        found["services.loadbalancers"] = Decimal(int(spec["type"] == "LoadBalancer"))
    if not resource.group and kind == "PersistentVolumeClaim":
        found |= _storage(spec)
    return found


def _storage(spec: dict[str, Any]) -> Charges:
    try:
        size = parse(str(mapping(spec, "resources", "requests").get("storage", "0")))
    except ValueError:
        return {}
    found = {"requests.storage": size}
    if text(spec, "storageClassName"):
        of_class = f"{spec['storageClassName']}.storageclass.storage.k8s.io"
        found |= {f"{of_class}/requests.storage": size, f"{of_class}/persistentvolumeclaims": Decimal(1)}
    return found
