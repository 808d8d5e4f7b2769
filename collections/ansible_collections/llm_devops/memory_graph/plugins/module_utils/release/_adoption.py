# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The adoption of an object: fields that somebody set with kubectl and that the manifest leaves out stay. Pure.

Server-side apply leaves alone what another manager owns. That is right where the manager is a controller, and a
surprise where ``kubectl create`` made the object. Fields that the API server adds by itself are owned by whoever wrote
last, so known defaults are not reported; nor are those that an operator's schema may have added to a custom resource.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._json import mapping, text
from ..cluster._cluster import FIELD_MANAGER
from ..objects import _fields, _ownership, _server_owned
from ..objects._manifest import PART_OF
from ._step import Step

HANDS = "kubectl"
"""The prefix of the managers of kubectl's commands: ``kubectl-create``, ``kubectl-edit``."""
MAX_PATHS = 5

_POLICIES = (
    [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    [{"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15}],
)
_HALF_BUSY = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
}
_DEFAULTS: dict[str, tuple[Any, ...]] = {
    # pods
    "dnsPolicy": ("ClusterFirst",), "restartPolicy": ("Always",), "schedulerName": ("default-scheduler",),
    "terminationGracePeriodSeconds": (30,), "enableServiceLinks": (True,), "defaultMode": (0o644,),
    "imagePullPolicy": ("Always", "IfNotPresent"), "protocol": ("TCP",), "terminationMessagePolicy": ("File",),
    "terminationMessagePath": ("/dev/termination-log",), "apiVersion": ("v1",), "volumeMode": ("Filesystem",),
    "failureThreshold": (3,), "periodSeconds": (10,), "successThreshold": (1,), "path": ("/",), "scheme": ("HTTP",),
    # workloads; timeoutSeconds also of probes, webhooks and the affinity of sessions
    "replicas": (1,), "progressDeadlineSeconds": (600,), "revisionHistoryLimit": (10,), "partition": (0,),
    "maxSurge": ("25%", 0), "maxUnavailable": ("25%", 1), "podManagementPolicy": ("OrderedReady",),
    "whenDeleted": ("Retain",), "whenScaled": ("Retain",), "timeoutSeconds": (1, 10, 10800),
    "backoffLimit": (6,), "completionMode": ("NonIndexed",), "completions": (1,), "parallelism": (1,),
    "manualSelector": (False,), "suspend": (False,), "podReplacementPolicy": ("TerminatingOrFailed",),
    "concurrencyPolicy": ("Allow",), "failedJobsHistoryLimit": (1,), "successfulJobsHistoryLimit": (3,),
    "minReplicas": (1,), "metrics": ([_HALF_BUSY],), "selectPolicy": ("Max",), "policies": _POLICIES,
    "stabilizationWindowSeconds": (0,),
    # others; type is that of Secrets, Services and of how workloads are updated
    "type": ("Opaque", "ClusterIP", "RollingUpdate"), "sessionAffinity": ("None",), "port": (443,),
    "internalTrafficPolicy": ("Cluster",), "externalTrafficPolicy": ("Cluster",), "failurePolicy": ("Fail",),
    "allocateLoadBalancerNodePorts": (True,), "persistentVolumeReclaimPolicy": ("Retain",),
    "reclaimPolicy": ("Delete",), "volumeBindingMode": ("Immediate",), "preemptionPolicy": ("PreemptLowerPriority",),
    "matchPolicy": ("Equivalent",), "strategy": ("None",), "policyTypes": (["Ingress"], ["Ingress", "Egress"]),
}  # fmt: skip
"""Values that the API server gives to fields that are left out (Kubernetes, ``pkg/apis/*/v*/defaults.go``)."""
_ASSIGNED = _server_owned.ANNOTATIONS | {
    "kubernetes.io/metadata.name", "kubernetes.io/pvc-protection", "kubernetes.io/pv-protection", "listKind",
    "singular", "storageClassName", "nodePort", "healthCheckNodePort", "clusterIP", "clusterIPs", "ipFamilies",
    "ipFamilyPolicy", "controller-uid", "job-name", "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
}  # fmt: skip
"""Fields and items to which the API server gives a value of the object's or the cluster's own."""


def adoption_note(step: Step, applyset: str) -> str:
    """Return a note on the fields that stay of an object that is not ours yet, with their owners and the way out."""
    if step.error or not step.live or mapping(step.live, "metadata", "labels").get(PART_OF) == applyset:
        return ""
    own_fields, paths_by_manager = _fields.owned(step.after, FIELD_MANAGER), dict[str, list[str]]()
    for entry in _ownership.others(step.live, step.inherits):
        manager = text(entry, "manager")
        if manager.startswith(HANDS) and not entry.get("subresource"):
            fields = {name: below for name, below in mapping(entry, "fieldsV1").items()
                      if name == "f:metadata" or not step.ref.custom}  # fmt: skip
            paths_by_manager.setdefault(manager, []).extend(sorted(left_out(fields, own_fields, step.live)))
    owned = "; ".join(f"{_some(paths)} of {manager}" for manager, paths in sorted(paths_by_manager.items()) if paths)
    way_out = "take this into the manifest, or remove it with kubectl edit"
    return f"{step.ref} was there, and what the manifest leaves out of it stays: {owned} — {way_out}" if owned else ""


def _some(paths: list[str]) -> str:
    more = f" and {len(paths) - MAX_PATHS} more" if len(paths) > MAX_PATHS else ""
    return ", ".join(paths[:MAX_PATHS]) + more


def left_out(fields: _fields.Fields, ours: _fields.Fields, value: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of ``fields`` that are neither ours nor defaults; a foreign item of a list is one path."""
    for name, inner_fields in fields.items():
        item, own_value, inner = _fields.picked(value, name), ours.get(name), set(inner_fields) - {"."}
        if name == "." or item is None or (own_value is not None and not (own_value and inner)):
            continue
        deeper = _fields.step(path, name)
        if inner and (own_value is not None or name.startswith("f:")):
            yield from left_out(inner_fields, own_value or {}, item, deeper)
        elif not _of_the_server(name, item, value):
            yield deeper


def _of_the_server(name: str, value: Any, around: Any) -> bool:
    kind, _colon, key = name.partition(":")
    if kind != "f":
        return str(value) in _ASSIGNED
    if key == "targetPort":
        return bool(value == around.get("port"))
    return key in _ASSIGNED or value in ({}, "", *_DEFAULTS.get(key, ()))
