# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The common rules of the Pod Security Standards, for namespaces that the API server cannot be asked about. Pure.

Not all of them: a pod that breaks one of these is refused, one that breaks none may be.
"""

from __future__ import annotations

from collections.abc import Iterator

from .._json import mapping, mappings, strings, text
from ..objects._manifest import Object
from ..objects._resource_requests import containers

ENFORCE = "pod-security.kubernetes.io/enforce"


def violations(level: str, spec: Object) -> list[str]:
    """The settings that a pod would have to change for a level; empty when it breaks no rule, or the level has none."""
    broken: list[str] = []
    if level in ("baseline", "restricted"):
        broken += _baseline(spec)
    if level == "restricted" and mapping(spec, "os").get("name") != "windows":
        broken += _restricted(spec)
    return list(dict.fromkeys(broken))


def _baseline(spec: Object) -> Iterator[str]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            yield f"{name}: false"
    if any(volume.get("hostPath") for volume in mappings(spec, "volumes")):
        yield "no hostPath volumes"
    for item in containers(spec):
        if any(port.get("hostPort") for port in mappings(item, "ports")):
            yield "no hostPort"
        if mapping(item, "securityContext").get("privileged"):
            yield "privileged: false"


def _restricted(spec: Object) -> Iterator[str]:
    pod = mapping(spec, "securityContext")
    for item in containers(spec):
        security = mapping(item, "securityContext")
        effective = {**pod, **security}  # a container's setting goes before the pod's
        if not effective.get("runAsNonRoot") and spec.get("hostUsers") is not False:
            yield "runAsNonRoot: true"
        if effective.get("runAsUser") == 0:
            yield "runAsUser not 0"
        if security.get("allowPrivilegeEscalation") is not False:
            yield "allowPrivilegeEscalation: false"
        if "ALL" not in strings(security, "capabilities", "drop"):
            yield "capabilities.drop: [ALL]"
        if set(strings(security, "capabilities", "add")) - {"NET_BIND_SERVICE"}:
            yield "capabilities.add at most NET_BIND_SERVICE"
        if text(effective, "seccompProfile", "type") not in ("RuntimeDefault", "Localhost"):
            yield "seccompProfile: {type: RuntimeDefault}"
