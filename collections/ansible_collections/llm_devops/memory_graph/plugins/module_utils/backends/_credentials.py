# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Credentials of a server that lie in Secrets of the cluster, so that no inventory and no log has them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

from .._errors import ClusterError
from ..cluster._cluster import Cluster


def secret_values(cluster: Cluster, namespace: str, name: str, needed: Sequence[str] = ()) -> Mapping[str, str]:
    """The values of a Secret, as text.

    Raises:
        ClusterError: when there is no such Secret, or a needed key is not in it.
    """
    live = cluster.find(f"/api/v1/namespaces/{namespace}/secrets/{name}")
    if live is None:
        raise ClusterError(
            f"there is no Secret {name} in namespace {namespace}", f"make it with the keys {' and '.join(needed)}"
            if needed else "name another",
        )  # fmt: skip
    values = {key: base64.b64decode(value).decode(errors="replace") for key, value in (live.get("data") or {}).items()}
    missing = [key for key in needed if not values.get(key)]
    if missing:
        raise ClusterError(f"Secret {name} in namespace {namespace} has no {' and no '.join(missing)}", "add it")
    return values
