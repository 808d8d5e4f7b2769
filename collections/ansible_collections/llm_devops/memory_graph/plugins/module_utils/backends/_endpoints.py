# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Who stands behind a Service."""

from __future__ import annotations

from .._errors import ClusterError
from ..cluster._cluster import Cluster


def ready_pods(cluster: Cluster, namespace: str, service: str) -> list[str]:
    """Names of the pods that stand behind the Service now.

    Raises:
        ClusterError: when there is no such Service, or nobody behind it.
    """
    path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    names = [
        endpoint["targetRef"]["name"]
        for part in cluster.list(path, f"kubernetes.io/service-name={service}")
        for endpoint in part.get("endpoints") or []
        if endpoint.get("targetRef") and (endpoint.get("conditions") or {}).get("ready") is not False
    ]
    if not names:
        raise ClusterError(
            f"Service/{service} in namespace {namespace} has no ready pod",
            "is the release deployed, and does it wait for its pods?",
        )
    return sorted(set(names))
