# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""What a pod lacks for each level of the Pod Security Standards."""

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
    ("restricted", {"volumes": [{"name": "a", "nfs": {}}]}, SAFE, ["no nfs volumes"]),
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
        ["seccompProfile not Unconfined", "seccompProfile: {type: RuntimeDefault}"],
    ),
    ("baseline", {}, {}, []),
    ("baseline", {"hostNetwork": True}, {}, ["hostNetwork: false"]),
    ("baseline", {"volumes": [{"name": "a", "hostPath": {"path": "/"}}]}, {}, ["no hostPath volumes"]),
    ("baseline", {}, {"privileged": True}, ["privileged: false"]),
    ("baseline", {}, {"capabilities": {"add": ["NET_ADMIN", "CHOWN"]}}, ["capabilities.add without NET_ADMIN"]),
    ("baseline", {"securityContext": {"sysctls": [{"name": "kernel.msgmax"}]}}, {}, ["no unsafe sysctls"]),
    ("baseline", {}, {"procMount": "Unmasked"}, ["procMount: Default"]),
    ("baseline", {}, {"seLinuxOptions": {"user": "root"}}, ["no own seLinuxOptions"]),
    ("privileged", {"hostNetwork": True}, {"privileged": True}, []),
]


@pytest.mark.parametrize(("level", "spec", "context", "lacking"), SECURITY)
def test_pod_security_levels(level, spec, context, lacking):
    containers = [{"name": "main", "securityContext": context, "ports": [{"containerPort": 80}]}]
    assert _pod_security.lacks(level, {"containers": containers, **spec}) == lacking


def test_pod_security_looks_at_init_containers_and_host_ports():
    spec = {"initContainers": [{"name": "first", "ports": [{"hostPort": 80}]}], "containers": []}
    assert _pod_security.lacks("baseline", spec) == ["no hostPort"]
    assert "runAsNonRoot: true" in _pod_security.lacks("restricted", spec)
