# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Namespaces before anything is written: which do not exist yet, and which are being deleted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from .._errors import ApiError, ClusterError
from .._json import mapping, mappings, strings, text
from ..cluster._cluster import Cluster
from ._manifest import Object

_FINALIZERS = re.compile(r": (.+)$")


def absent_namespaces(cluster: Cluster, objects: Iterable[Object], home: str) -> set[str]:
    """Namespaces the objects name that do not exist yet.

    :raises ClusterError: when one is terminating, or is missing and no object of the release creates it.
    """
    objects = list(objects)
    names = {home} | {str(item["metadata"].get("namespace") or home) for item in objects}
    created = {item["metadata"]["name"] for item in objects if item["kind"] == "Namespace"}
    absent = set()
    for name in sorted(names):
        try:
            live = cluster.find(f"/api/v1/namespaces/{name}")
        except ApiError as error:
            if error.status == 403 and name not in created:  # a deployer bound to one namespace may not read it
                continue
            raise
        if live is None:
            absent.add(name)
        elif live["metadata"].get("deletionTimestamp"):
            raise ClusterError(*stuck(live))
    missing = sorted(absent - created)
    if missing:
        raise ClusterError(f"namespace {missing[0]} does not exist, and no object of the release creates it",
                           f"add a Namespace object, or run kubectl create namespace {missing[0]}")  # fmt: skip
    return absent


def held(live: dict[str, Any]) -> str:
    """The finalizers a deleted object waits for, each with the manager that set it; empty when it waits for none. Pure.

    Kubernetes' own are left out while they are about to go: every claim and every load balancer has one.
    """
    setters: dict[str, str] = {}
    for entry in mappings(live, "metadata", "managedFields"):
        fields = mapping(entry, "fieldsV1", "f:metadata", "f:finalizers")
        setters |= {key: text(entry, "manager") for key in fields}
    names = strings(live, "metadata", "finalizers")
    foreign = [name for name in names if not name.partition("/")[0].endswith("kubernetes.io") and "/" in name]
    return ", ".join(
        f"{name} (set by {setters[key]})" if (key := f'v:"{name}"') in setters else name for name in foreign
    )


def stuck(namespace: dict[str, Any]) -> tuple[str, str]:
    """One sentence about a terminating namespace, naming the finalizers it waits for, and the way out. Pure."""
    name, metadata = namespace["metadata"]["name"], namespace["metadata"]
    conditions = {text(item, "type"): item for item in mappings(namespace, "status", "conditions")}
    waits = []
    for kind in ("NamespaceFinalizersRemaining", "NamespaceContentRemaining"):
        condition = conditions.get(kind) or {}
        match = _FINALIZERS.search(text(condition, "message")) if condition.get("status") == "True" else None
        if match:
            waits.append(match[1])
    own_finalizers = [*strings(metadata, "finalizers"), *strings(namespace, "spec", "finalizers")]
    finalizers = " and ".join(waits) or ", ".join(name for name in own_finalizers if name != "kubernetes")
    since = metadata["deletionTimestamp"]
    waiting = f", waiting for finalizers: {finalizers}" if finalizers else ""
    return (
        f"namespace {name} is being deleted since {since}{waiting}",
        "wait until it is gone and run again; if it stays, let the finalizer's owner finish, or remove the finalizer",
    )
