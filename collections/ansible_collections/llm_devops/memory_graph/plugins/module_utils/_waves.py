# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""In which order kinds must exist. Within a wave, order is free and applying is parallel."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")

_WAVE_OF_KIND = {
    **dict.fromkeys(("Namespace", "CustomResourceDefinition"), 0),
    **dict.fromkeys(
        (
            "ServiceAccount",
            "Role",
            "RoleBinding",
            "ClusterRole",
            "ClusterRoleBinding",
            "ConfigMap",
            "Secret",
            "PersistentVolume",
            "PersistentVolumeClaim",
            "StorageClass",
            "ResourceQuota",
            "LimitRange",
            "PriorityClass",
            "ExternalSecret",
            "SecretStore",
            "ClusterSecretStore",
            "SealedSecret",
            "Issuer",
            "ClusterIssuer",
            "Certificate",
        ),
        1,
    ),
    **dict.fromkeys(("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Pod", "Job", "CronJob"), 2),
}


def wave_of(kind: str) -> int:
    """0 namespaces and CRDs; 1 what workloads mount or run as; 2 workloads; 3 what points at them, and custom kinds."""
    return _WAVE_OF_KIND.get(kind, 3)


def split(items: Iterable[T], kind: Callable[[T], str]) -> list[list[T]]:
    """The items in their four waves, each in its given order."""
    result: list[list[T]] = [[] for _wave in range(4)]
    for item in items:
        result[wave_of(kind(item))].append(item)
    return result


_STAGE_OF_KIND = {
    **dict.fromkeys(("Namespace", "CustomResourceDefinition"), "namespace"),
    **dict.fromkeys(("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"), "rbac"),
    **dict.fromkeys(("ConfigMap", "Secret", "ExternalSecret", "SealedSecret"), "config"),
    **dict.fromkeys(("PersistentVolume", "PersistentVolumeClaim", "StorageClass"), "storage"),
    **dict.fromkeys(("ResourceQuota", "LimitRange"), "quota"),
    **dict.fromkeys(("Service", "Ingress", "NetworkPolicy", "GRPCRoute", "HTTPRoute"), "network"),
    **dict.fromkeys(("HorizontalPodAutoscaler", "PodDisruptionBudget"), "scaling"),
    **dict.fromkeys(("ServiceMonitor", "PodMonitor", "PrometheusRule"), "monitoring"),
}


def stages(kinds: Iterable[str]) -> list[str]:
    """The kinds in a person's words, each word once, in the order of the waves."""
    ordered = sorted(kinds, key=wave_of)
    return list(dict.fromkeys(_STAGE_OF_KIND.get(kind, "workload" if wave_of(kind) == 2 else kind) for kind in ordered))
