# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Access to a backend in the cluster: its ready pods, and credentials in Secrets, so that no inventory has them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

from .._errors import ClusterError
from ..cluster._cluster import Cluster


def ready_pods(cluster: Cluster, namespace: str, service: str) -> list[str]:
    """Return the names of the ready pods of a Service.

    Raises:
        ClusterError: when there is no such Service, or no ready pod.
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


def secret_values(cluster: Cluster, namespace: str, name: str, required: Sequence[str] = ()) -> Mapping[str, str]:
    """Return the values of a Secret as text.

    Raises:
        ClusterError: when there is no such Secret, or a required key is not in it.
    """
    live = cluster.find(f"/api/v1/namespaces/{namespace}/secrets/{name}")
    if live is None:
        raise ClusterError(
            f"there is no Secret {name} in namespace {namespace}", f"make it with the keys {' and '.join(required)}"
            if required else "name another",
        )  # fmt: skip
    values = {key: base64.b64decode(value).decode(errors="replace") for key, value in (live.get("data") or {}).items()}
    missing = [key for key in required if not values.get(key)]
    if missing:
        raise ClusterError(f"Secret {name} in namespace {namespace} has no {' and no '.join(missing)}", "add it")
    return values
