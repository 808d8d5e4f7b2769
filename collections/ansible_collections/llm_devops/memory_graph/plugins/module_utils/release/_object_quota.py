# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Object quotas: whether the ResourceQuotas of the namespaces leave room for the sum of all that a release creates.

A dry run is checked against a quota and charged to none, so each object passes by itself and the sum breaks the quota
half way. The sum has all charges of writing an object: objects, the storage that claims ask for, ports of Services.
Pods of workloads are charged later, and the wait says so. A quota that comes with the release and its namespace counts
all of it as well, and refuses objects of a later wave than itself.
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
from ._history import ReleaseRecord
from ._step import Step

_SHORT = {"Service": "services", "Secret": "secrets", "ConfigMap": "configmaps", "ResourceQuota": "resourcequotas",
          "PersistentVolumeClaim": "persistentvolumeclaims", "ReplicationController": "replicationcontrollers",
          "Pod": "pods"}  # fmt: skip
Charges = dict[str, Decimal]


def check(cluster: Cluster, steps: list[Step], record: ReleaseRecord, absent: set[str], parallelism: int) -> None:
    """Set an error on each step that comes too late for its quota; the release's own record counts, too."""
    created = [step for step in steps if step.action == "created" and step.resource and not step.error]
    namespaces = sorted({step.ref.namespace for step in created} - {"", *absent})
    quotas = in_parallel(lambda namespace: _quotas(cluster, namespace), namespaces, parallelism)
    existing = [
        (namespace, quota, None) for namespace, listed in zip(namespaces, quotas, strict=True) for quota in listed
    ]
    for namespace, quota, after in [*existing, *_new_quotas(created, absent)]:
        in_namespace = [step for step in created if step.ref.namespace == namespace]
        own_secrets = _own_secrets(record) if namespace == record.namespace else 0
        _check(quota, in_namespace, own_secrets, steps, after)


def _new_quotas(created: list[Step], absent: set[str]) -> Iterator[tuple[str, dict[str, Any], int]]:
    """Yield quotas of namespaces that the release creates, with nothing charged to them yet, and the wave of each."""
    for step in created:
        if (step.ref.group, step.ref.kind) == ("", "ResourceQuota") and step.ref.namespace in absent:
            unused = dict.fromkeys(mapping(step.manifest, "spec", "hard"), "0")
            yield step.ref.namespace, {**step.manifest, "status": {"used": unused}}, wave_of(step.manifest)


def _quotas(cluster: Cluster, namespace: str) -> list[dict[str, Any]]:
    try:
        return list(cluster.list(f"/api/v1/namespaces/{namespace}/resourcequotas"))
    except ApiError:  # who may not read them is told by the API server
        return []


def _own_secrets(record: ReleaseRecord) -> int:
    """Return how many Secrets this run creates for itself: its record, the first time, and one for its objects."""
    return 1 if record.revision else 2


def _check(
    quota: dict[str, Any], created: list[Step], own_secrets: int, steps: Iterable[Step], after: int | None
) -> None:
    """Charge the steps to a quota. ``after`` is the wave in which the quota itself is written; None: it exists."""
    spec, name = mapping(quota, "spec"), text(quota, "metadata", "name")
    if mapping(spec, "scopeSelector") or strings(spec, "scopes"):
        return
    planned = (step.manifest for step in steps if (step.ref.kind, step.ref.name) == ("ResourceQuota", name))
    hard = mapping(next(planned, quota), "spec", "hard")
    used = mapping(quota, "status", "used")
    for resource in (resource for resource in used if resource in hard):
        try:
            remaining = parse(str(hard[resource])) - parse(str(used[resource]))
        except ValueError:
            continue
        _spend(
            resource, remaining, created, own_secrets if resource in ("secrets", "count/secrets") else 0, name, after
        )


def _spend(
    resource: str, remaining: Decimal, created: list[Step], own_secrets: int, name: str, after: int | None
) -> None:
    charged = [(step, charges(step).get(resource, Decimal(0))) for step in created]
    total = sum((amount for _step, amount in charged), Decimal(own_secrets))
    if total <= remaining:
        return
    refused = (
        step for step, amount in reversed(charged) if amount and (after is None or wave_of(step.manifest) > after)
    )
    late = next(refused, None)
    if late is None:
        return
    own_note = f", {own_secrets} for its record among them" if own_secrets else ""
    late.error = late.error or ClusterError(
        f"{late.ref} does not fit: the release brings {show(total, resource)} of {resource}{own_note}, ResourceQuota"
        f" {name!r} in {late.ref.namespace} leaves {show(remaining, resource)}",
        "raise the quota, or leave objects out",
    )


def charges(step: Step) -> Charges:
    """Return the charges to a quota when the object is created. Pure."""
    resource, kind, spec = step.resource, step.ref.kind, mapping(step.manifest, "spec")
    if resource is None:
        return {}
    named = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
    result = {f"count/{named}": Decimal(1)}
    if not resource.group and kind in _SHORT:
        result[_SHORT[kind]] = Decimal(1)
    if not resource.group and kind == "Service" and spec.get("type") in ("LoadBalancer", "NodePort"):
        disabled = spec.get("allocateLoadBalancerNodePorts") is False
        result["services.nodeports"] = Decimal(0 if disabled else len(mappings(spec, "ports")))
        result["services.loadbalancers"] = Decimal(int(spec["type"] == "LoadBalancer"))
    if not resource.group and kind == "PersistentVolumeClaim":
        result |= _storage(spec)
    return result


def _storage(spec: dict[str, Any]) -> Charges:
    try:
        size = parse(str(mapping(spec, "resources", "requests").get("storage", "0")))
    except ValueError:
        return {}
    charges = {"requests.storage": size}
    if text(spec, "storageClassName"):
        of_class = f"{spec['storageClassName']}.storageclass.storage.k8s.io"
        charges |= {f"{of_class}/requests.storage": size, f"{of_class}/persistentvolumeclaims": Decimal(1)}
    return charges
