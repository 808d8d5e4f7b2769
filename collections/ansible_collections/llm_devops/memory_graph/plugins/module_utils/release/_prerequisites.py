# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""What must be there before a release and outlives it: a namespace, and credentials that are made once."""

from __future__ import annotations

import base64
import secrets
import string
from collections.abc import Mapping, Sequence
from typing import Any

from .._errors import ApiError, ClusterError
from ..cluster._cluster import FIELD_MANAGER, Cluster

ALPHABET = string.ascii_letters + string.digits
"""No sign that a command line, a URL or a file of settings would take for its own."""
LENGTH = 32
ALREADY = 409


def namespace(name: str, labels: Mapping[str, str], level: str) -> dict[str, Any]:
    """The Namespace, which enforces a Pod Security Standard."""
    standard = {f"pod-security.kubernetes.io/{mode}": level for mode in ("enforce", "audit", "warn")}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {**labels, **standard}}}


def secret(name: str, where: str, labels: Mapping[str, str], values: Mapping[str, str],
           random: Sequence[str]) -> dict[str, Any]:  # fmt: skip
    """A Secret with the given values, and with new ones for the keys of `random`."""
    data = {**values, **{key: "".join(secrets.choice(ALPHABET) for _character in range(LENGTH)) for key in random}}
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    metadata = {"name": name, "namespace": where, "labels": dict(labels)}
    return {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "data": encoded}


def lacking(live: Mapping[str, Any], wanted: Sequence[str]) -> list[str]:
    """Keys that a Secret should have and has not, or has empty."""
    data = live.get("data") or {}
    return [key for key in wanted if not data.get(key)]


def have(cluster: Cluster, where: str, wanted: Mapping[str, Any], labels: Mapping[str, str], *,
         check: bool) -> bool:  # fmt: skip
    """Has a Secret; whether it was made. One that is there is never changed.

    Raises:
        ClusterError: when it is there without a key that is needed.
    """
    name, keys = wanted["name"], [*(wanted["values"] or {}), *(wanted["random"] or [])]
    path = f"/api/v1/namespaces/{where}/secrets"
    live = cluster.find(f"{path}/{name}")
    if live is None:
        manifest = secret(name, where, labels, wanted["values"] or {}, wanted["random"] or [])
        return check or created(cluster, path, manifest)
    missing = lacking(live, keys)
    if missing:
        raise ClusterError(
            f"Secret {name} in namespace {where} has no {' and no '.join(missing)}",
            "add what is missing; or delete the Secret, while nothing was made with it, and have it made",
        )
    return False


def created(cluster: Cluster, path: str, manifest: dict[str, Any]) -> bool:
    """Creates an object; whether it was us, and not somebody at the same moment."""
    try:
        cluster.request("POST", path, {"fieldManager": FIELD_MANAGER}, manifest)
    except ApiError as error:
        if error.status == ALREADY:
            return False
        raise
    return True
