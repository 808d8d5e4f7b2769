# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.
"""Filters: what the role neo4j describes for each member of a cluster, or for the one server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any


def neo4j_claims(members: Sequence[str], size: str, storage_class: str) -> list[dict[str, Any]]:
    """Return the claim of each member's volume, as the role storage has it."""
    return [
        {"name": f"{member}-data", "size": size, "access_modes": ["ReadWriteOnce"], "storage_class": storage_class}
        for member in members
    ]


def neo4j_workloads(
    members: Sequence[str], workload: Mapping[str, Any], namespace: str, clustered: bool
) -> list[dict[str, Any]]:
    """Return the workload of each member, as the role workload has it.

    :param workload: what all of them have; its ``env`` and ``volumes`` come beside what each has of its own.
    """
    return [
        {
            **workload,
            "name": member,
            "service_name": member if clustered else f"{member}-headless",
            "env": {"ADVERTISED_ADDRESS": f"{member}.{namespace}.svc", **workload["env"]},
            "volumes": [{"name": "data", "mount_path": "/data", "claim": f"{member}-data"}, *workload["volumes"]],
        }
        for member in members
    ]


def neo4j_member_services(members: Sequence[str], instance: str, ports: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return the headless Service of each member of a cluster, as the role network has it."""
    return [
        {
            "name": member,
            "type": "Headless",
            "publish_not_ready": True,
            "ports": ports,
            "selector": {"app.kubernetes.io/name": member, "app.kubernetes.io/instance": instance},
        }
        for member in members
    ]


class FilterModule:
    """The filters by their names."""

    def filters(self) -> dict[str, Callable[..., object]]:
        return {
            "neo4j_claims": neo4j_claims,
            "neo4j_workloads": neo4j_workloads,
            "neo4j_member_services": neo4j_member_services,
        }
