# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""What a pod lacks for a Pod Security level (Kubernetes' Pod Security Standards). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..objects._manifest import Object
from ..objects._resource_requests import containers

LEVELS = ("privileged", "baseline", "restricted")
ENFORCE = "pod-security.kubernetes.io/enforce"
_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    }
)
_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_wmem",
    }
)
_SELINUX = frozenset({"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"})
_VOLUMES = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
        "image",
        "name",
    }
)
_SECCOMP = ("RuntimeDefault", "Localhost")


def lacks(level: str, spec: Object) -> list[str]:
    """What the pod would have to change, as settings; empty when it meets ``level``. Unknown levels ask nothing."""
    found: list[str] = []
    if level in ("baseline", "restricted"):
        found += _baseline(spec)
    if level == "restricted":
        found += _restricted(spec)
    return list(dict.fromkeys(found))


def _contexts(spec: Object) -> Iterator[dict[str, Any]]:
    yield spec.get("securityContext") or {}
    for item in containers(spec):
        yield item.get("securityContext") or {}


def _baseline(spec: Object) -> Iterator[str]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            yield f"{name}: false"
    if any(volume.get("hostPath") for volume in spec.get("volumes") or []):
        yield "no hostPath volumes"
    sysctls = (spec.get("securityContext") or {}).get("sysctls") or []
    if any(item["name"] not in _SYSCTLS for item in sysctls):
        yield "no unsafe sysctls"
    for item in containers(spec):
        if any(port.get("hostPort") for port in item.get("ports") or []):
            yield "no hostPort"
    for own in _contexts(spec):
        yield from _context_of_baseline(own)


def _context_of_baseline(own: dict[str, Any]) -> Iterator[str]:
    if own.get("privileged"):
        yield "privileged: false"
    added = set((own.get("capabilities") or {}).get("add") or []) - _CAPABILITIES
    if added:
        yield f"capabilities.add without {', '.join(sorted(added))}"
    if own.get("procMount", "Default") != "Default":
        yield "procMount: Default"
    options = own.get("seLinuxOptions") or {}
    if options.get("type", "") not in _SELINUX or options.get("user") or options.get("role"):
        yield "no own seLinuxOptions"
    for profile in ("seccompProfile", "appArmorProfile"):
        if (own.get(profile) or {}).get("type") == "Unconfined":
            yield f"{profile} not Unconfined"
    if (own.get("windowsOptions") or {}).get("hostProcess"):
        yield "hostProcess: false"


def _restricted(spec: Object) -> Iterator[str]:
    pod = spec.get("securityContext") or {}
    for volume in spec.get("volumes") or []:
        foreign = set(volume) - _VOLUMES
        if foreign:
            yield f"no {', '.join(sorted(foreign))} volumes"
    if any(own.get("runAsUser") == 0 for own in _contexts(spec)):
        yield "runAsUser not 0"
    for item in containers(spec):
        own = item.get("securityContext") or {}
        if not own.get("runAsNonRoot", pod.get("runAsNonRoot")):
            yield "runAsNonRoot: true"
        if own.get("allowPrivilegeEscalation") is not False:
            yield "allowPrivilegeEscalation: false"
        capabilities = own.get("capabilities") or {}
        if "ALL" not in (capabilities.get("drop") or []):
            yield "capabilities.drop: [ALL]"
        if set(capabilities.get("add") or []) - {"NET_BIND_SERVICE"}:
            yield "capabilities.add at most NET_BIND_SERVICE"
        profile = own.get("seccompProfile") or pod.get("seccompProfile") or {}
        if profile.get("type") not in _SECCOMP:
            yield "seccompProfile: {type: RuntimeDefault}"
