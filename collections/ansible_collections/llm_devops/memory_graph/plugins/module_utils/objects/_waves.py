# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""In which order kinds must exist. Within a wave, order is free and applying is parallel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from .._errors import ManifestError

T = TypeVar("T")
LAST = 3

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


ANNOTATION = "memory-graph.llm-devops/wave"
FOUNDATION = frozenset({"Namespace", "CustomResourceDefinition"})  # must be there before others can be applied at all


def wave_of(manifest: Mapping[str, Any]) -> int:
    """The number in the object's wave annotation; else 0 namespaces and CRDs, 1 what workloads mount or run as,
    2 workloads, 3 what points at them, and custom kinds.

    :raises ManifestError: when the annotation is not an integer.
    """
    given = (manifest["metadata"].get("annotations") or {}).get(ANNOTATION)
    if given is None:
        return _WAVE_OF_KIND.get(str(manifest["kind"]), LAST)
    try:
        return int(given)
    except (TypeError, ValueError) as error:
        name = f"{manifest['kind']}/{manifest['metadata']['name']}"
        raise ManifestError(
            f"{name}: annotation {ANNOTATION} is {given!r}", 'write an integer in quotes, as in "5"'
        ) from error


def split(items: Iterable[T], manifest: Callable[[T], Mapping[str, Any]]) -> list[list[T]]:
    """The items in waves, the lowest number first, each wave in the given order."""
    result: dict[int, list[T]] = {}
    for item in items:
        result.setdefault(wave_of(manifest(item)), []).append(item)
    return [result[number] for number in sorted(result)]


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
    wave = {kind: _WAVE_OF_KIND.get(kind, LAST) for kind in kinds}
    words = (
        _STAGE_OF_KIND.get(kind, "workload" if wave[kind] == 2 else kind)
        for kind in sorted(wave, key=lambda kind: wave[kind])
    )
    return list(dict.fromkeys(words))
