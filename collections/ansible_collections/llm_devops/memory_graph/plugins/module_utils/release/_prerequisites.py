# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Prerequisites of a release, which outlive it: a namespace, and credentials that are created once."""

from __future__ import annotations

import base64
import secrets
import string
from collections.abc import Mapping, Sequence
from typing import Any

from .._errors import ApiError, ClusterError
from ..cluster._cluster import FIELD_MANAGER, Cluster

ALPHABET = string.ascii_letters + string.digits
"""Characters that need no quoting in a command line, a URL or a file of settings."""
PASSWORD_LENGTH = 32
HTTP_CONFLICT = 409


def namespace(name: str, labels: Mapping[str, str], level: str) -> dict[str, Any]:
    """Return the manifest of a Namespace that enforces a Pod Security Standard."""
    standard = {f"pod-security.kubernetes.io/{mode}": level for mode in ("enforce", "audit", "warn")}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {**labels, **standard}}}


def secret(name: str, namespace_name: str, labels: Mapping[str, str], values: Mapping[str, str],
           random: Sequence[str]) -> dict[str, Any]:  # fmt: skip
    """Return the manifest of a Secret with the given values, and with new ones for the keys of `random`."""
    data = {
        **values,
        **{key: "".join(secrets.choice(ALPHABET) for _character in range(PASSWORD_LENGTH)) for key in random},
    }
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    metadata = {"name": name, "namespace": namespace_name, "labels": dict(labels)}
    return {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "data": encoded}


def missing_keys(live: Mapping[str, Any], required: Sequence[str]) -> list[str]:
    """Return the required keys that a Secret does not have, or has empty."""
    data = live.get("data") or {}
    return [key for key in required if not data.get(key)]


def ensure_secret(cluster: Cluster, namespace_name: str, spec: Mapping[str, Any], labels: Mapping[str, str], *,
                  check: bool) -> bool:  # fmt: skip
    """Create a Secret that is missing, and return whether it was created. An existing one is never changed.

    Raises:
        ClusterError: when it exists without a required key.
    """
    name, keys = spec["name"], [*(spec["values"] or {}), *(spec["random"] or [])]
    path = f"/api/v1/namespaces/{namespace_name}/secrets"
    live = cluster.find(f"{path}/{name}")
    if live is None:
        manifest = secret(name, namespace_name, labels, spec["values"] or {}, spec["random"] or [])
        return check or create(cluster, path, manifest)
    missing = missing_keys(live, keys)
    if missing:
        raise ClusterError(
            f"Secret {name} in namespace {namespace_name} has no {' and no '.join(missing)}",
            "add what is missing; or delete the Secret, while nothing was made with it, and have it made",
        )
    return False


def create(cluster: Cluster, path: str, manifest: dict[str, Any]) -> bool:
    """Create an object; return False where somebody else created it at the same moment."""
    try:
        cluster.request("POST", path, {"fieldManager": FIELD_MANAGER}, manifest)
    except ApiError as error:
        if error.status == HTTP_CONFLICT:
            return False
        raise
    return True
