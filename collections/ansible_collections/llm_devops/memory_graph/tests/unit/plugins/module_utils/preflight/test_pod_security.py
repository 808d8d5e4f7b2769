# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The common rules of the Pod Security Standards, each with the setting that a pod would have to change."""

from __future__ import annotations

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.preflight import _pod_security

SAFE = {
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
SECURITY = [
    ("restricted", {}, SAFE, []),
    (
        "restricted",
        {},
        {},
        [
            "runAsNonRoot: true",
            "allowPrivilegeEscalation: false",
            "capabilities.drop: [ALL]",
            "seccompProfile: {type: RuntimeDefault}",
        ],
    ),
    ("restricted", {}, {**SAFE, "runAsUser": 0}, ["runAsUser not 0"]),
    (
        "restricted",
        {},
        {**SAFE, "capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}},
        ["capabilities.add at most NET_BIND_SERVICE"],
    ),
    (
        "restricted",
        {},
        {**SAFE, "seccompProfile": {"type": "Unconfined"}},
        ["seccompProfile: {type: RuntimeDefault}"],
    ),
    ("restricted", {"os": {"name": "windows"}}, {}, []),
    ("restricted", {"securityContext": SAFE}, {**SAFE, "runAsNonRoot": None}, ["runAsNonRoot: true"]),
    ("baseline", {}, {}, []),
    ("baseline", {"hostNetwork": True}, {}, ["hostNetwork: false"]),
    ("baseline", {"volumes": [{"name": "a", "hostPath": {"path": "/"}}]}, {}, ["no hostPath volumes"]),
    ("baseline", {}, {"privileged": True}, ["privileged: false"]),
    ("privileged", {"hostNetwork": True}, {"privileged": True}, []),
]


@pytest.mark.parametrize(("level", "spec", "context", "violations"), SECURITY)
def test_pod_security_levels(level, spec, context, violations):
    containers = [{"name": "main", "securityContext": context, "ports": [{"containerPort": 80}]}]
    assert _pod_security.violations(level, {"containers": containers, **spec}) == violations


def test_pod_security_looks_at_init_containers_and_host_ports():
    spec = {"initContainers": [{"name": "first", "ports": [{"hostPort": 80}]}], "containers": []}
    assert _pod_security.violations("baseline", spec) == ["no hostPort"]
    assert "runAsNonRoot: true" in _pod_security.violations("restricted", spec)
