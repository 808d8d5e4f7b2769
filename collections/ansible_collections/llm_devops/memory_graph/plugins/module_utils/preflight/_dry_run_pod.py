# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A Pod made of a workload's template, for a server-side dry run, and the refusals that the API server answers. Pure.

Admission stops at its first refusal. So that all are known at once, a refusal may say how the Pod is asked about again
without the field that was refused.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass

from .._errors import ApiError
from .._json import mapping, mappings
from ..cluster._error_messages import is_about_manifest
from ..objects._manifest import Object
from ..objects._resource_requests import Pods

SUFFIX = "-preflight"
MAX_NAME_CHARS = 63
"""A longer name is no host name, and the API server warns of it."""
POD_REFERENCES = {
    "ServiceAccount": "serviceAccountName",
    "PriorityClass": "priorityClassName",
    "RuntimeClass": "runtimeClassName",
}
"""Fields of a pod that name an object which admission looks up."""


@dataclass(frozen=True)
class AdmissionRefusal:
    """One reason why the API server does not admit a Pod; ``subject`` is the level, the quota or the missing object."""

    kind: str
    subject: str = ""
    detail: str = ""

    def without(self, pod: Object) -> Object | None:
        """The Pod without what was refused; None when nothing can be left out."""
        if self.kind in POD_REFERENCES:
            return _without(pod, POD_REFERENCES[self.kind])
        return _without_resources(pod) if self.kind == "LimitRange" else None


def name_of(owner: Pods) -> str:
    """The name of the Pod that is asked about: made up, and always the same, so that RBAC can be restricted to it."""
    return owner.name[: MAX_NAME_CHARS - len(SUFFIX)].rstrip("-.") + SUFFIX


def pod_of(owner: Pods, created: Container[tuple[str, str, str]]) -> Object:
    """The Pod that a controller would make of the template.

    :param created: ``(kind, namespace, name)`` of the release's objects. What refers to one of them is left out, as it
        need not exist yet.
    """
    metadata = {key: owner.metadata[key] for key in ("labels", "annotations") if owner.metadata.get(key)}
    spec = dict(owner.spec)
    if owner.claims:  # a StatefulSet's controller adds them
        volumes = [item for item in mappings(spec, "volumes") if item.get("name") not in owner.claims]
        claims = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in owner.claims]
        spec["volumes"] = [*volumes, *claims]
    pod: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**metadata, "name": name_of(owner), "namespace": owner.namespace},
        "spec": spec,
    }
    for kind, field in POD_REFERENCES.items():
        namespace = owner.namespace if kind == "ServiceAccount" else ""
        if (kind, namespace, spec.get(field)) in created:
            pod = _without(pod, field)
    return pod


_PREFIX = re.compile(r'[Pp]ods? "[^"]+" is (?:forbidden|invalid): ')
_LIMIT = r"(?:maximum|minimum) \S+ usage per |\S+ max limit to request ratio per "
_FORBIDDEN: dict[str, str] = {
    "ServiceAccount": r'error looking up service account \S+: serviceaccount "(?P<subject>[^"]+)" not found',
    "PriorityClass": r"no PriorityClass with name (?P<subject>\S+) was found",
    "RuntimeClass": r'pod rejected: RuntimeClass "(?P<subject>[^"]+)" not found',
    "PodSecurity": r'violates PodSecurity "(?P<subject>[^":]+)[^"]*": (?P<detail>.+)',
    "LimitRange": rf"\[?(?P<detail>(?:{_LIMIT}).+?)\]?",
    "ResourceQuota": r"failed quota: (?P<subject>\S+): must specify (?P<detail>.+)",
    "used up": r"exceeded quota: (?P<subject>[^,\s]+),.*",
}
"""The sentences of admission plugins, after the prefix that a webhook's answer does not have."""
_NO_RIGHT = r"https?://\S+ .*may not (?P<subject>(?:create|patch) pods .*)"


def refusal_of(error: ApiError) -> AdmissionRefusal:
    """The refusal that an answer of the API server means; ``other`` when it is none of the known ones."""
    prefix = _PREFIX.match(error.message)
    detail = error.message[prefix.end() :] if prefix else error.message
    if error.status == 404 or any(cause.get("reason") == "NamespaceTerminating" for cause in error.causes):
        return AdmissionRefusal("no namespace", detail=detail)
    if error.status == 403:
        patterns = _FORBIDDEN if prefix else {"RBAC": _NO_RIGHT}
        for kind, pattern in patterns.items():
            match = re.fullmatch(pattern, detail)
            if match:
                return AdmissionRefusal(kind, **match.groupdict())
    if error.status == 422 and any(str(cause.get("reason", "")).startswith("FieldValue") for cause in error.causes):
        in_use = "pod updates may not change fields" in error.message  # a Pod of that name is there
        return AdmissionRefusal("other" if in_use else "invalid", detail=detail)
    if error.status in (400, 500) and is_about_manifest(error):
        return AdmissionRefusal("invalid", detail=detail)
    return AdmissionRefusal("other", detail=detail)


def _without(pod: Object, field: str) -> Object:
    return {**pod, "spec": {key: value for key, value in pod["spec"].items() if key != field}}


def _without_resources(pod: Object) -> Object:
    spec = dict(mapping(pod, "spec"))
    for group in ("initContainers", "containers"):
        if spec.get(group):
            spec[group] = [{key: value for key, value in item.items() if key != "resources"} for item in spec[group]]
    return {**pod, "spec": {key: value for key, value in spec.items() if key != "resources"}}
