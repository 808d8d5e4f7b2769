# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Quantities in manifests of Kubernetes' own kinds, checked before anything is sent. Pure.

The API server refuses them as well, in words that name neither the field nor the value ("quantities must match the
regular expression ..."), and some of them never: those in ``volumeClaimTemplates`` fail when a controller makes claims.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._errors import ManifestError
from .._json import at, mapping, type_name
from ._quantity import FORM, invalid_reason, parse, quoted

Object = dict[str, Any]
Path = tuple[str, ...]
Paths = tuple[tuple[Path, int], ...]
ANY, NOT_NEGATIVE, POSITIVE = -1, 0, 1
"""What a quantity must be beside one; in a path ``[]`` is each item of a list, ``*`` each value of a mapping."""


def _path(text: str) -> Path:
    return tuple(text.replace("[]", ".[]").split("."))


def _paths(at_path: str, least: dict[str, int]) -> Paths:
    """Each of the paths below ``at_path``, with what its quantities must be."""
    return tuple((_path(f"{at_path}.{below}"), value) for below, value in least.items())


_RESOURCES: dict[str, int] = {"requests.*": NOT_NEGATIVE, "limits.*": NOT_NEGATIVE}
_CLAIM: dict[str, int] = {
    "resources.requests.storage": POSITIVE, "resources.requests.*": NOT_NEGATIVE, "resources.limits.*": NOT_NEGATIVE,
}  # fmt: skip
_DIVISOR: dict[str, int] = {"resourceFieldRef.divisor": ANY}
_CONTAINERS = ("containers[]", "initContainers[]", "ephemeralContainers[]")
_REQUESTS = (*(f"{name}.resources" for name in _CONTAINERS), "resources")
_POD: Paths = (
    *(field_path for name in _REQUESTS for field_path in _paths(name, _RESOURCES)),
    *(field_path for name in _CONTAINERS for field_path in _paths(f"{name}.env[].valueFrom", _DIVISOR)),
    *_paths("volumes[].downwardAPI.items[]", _DIVISOR),
    *_paths("volumes[].projected.sources[].downwardAPI.items[]", _DIVISOR),
    *_paths("volumes[].ephemeral.volumeClaimTemplate.spec", _CLAIM),
    (_path("volumes[].emptyDir.sizeLimit"), NOT_NEGATIVE),
    (_path("overhead.*"), NOT_NEGATIVE),
)
_TARGET: dict[str, int] = {"target.value": POSITIVE, "target.averageValue": POSITIVE}
_METRICS = ("resource", "containerResource", "pods", "object", "external")
_LIMITS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
_OF_KIND: dict[tuple[str, str], Paths] = {
    ("", "PersistentVolumeClaim"): _paths("spec", _CLAIM),
    ("", "PersistentVolume"): _paths("spec.capacity", {"storage": POSITIVE, "*": NOT_NEGATIVE}),
    ("", "ResourceQuota"): _paths("spec", {"hard.*": NOT_NEGATIVE}),
    ("", "LimitRange"): _paths("spec", {f"limits[].{name}.*": ANY for name in _LIMITS}),
    ("apps", "StatefulSet"): _paths("spec.volumeClaimTemplates[].spec", _CLAIM),
    ("autoscaling", "HorizontalPodAutoscaler"): tuple(
        field_path for name in _METRICS for field_path in _paths(f"spec.metrics[].{name}", _TARGET)
    ),
    ("node.k8s.io", "RuntimeClass"): _paths("overhead", {"podFixed.*": NOT_NEGATIVE}),
}
_POD_AT: dict[tuple[str, str], Path] = {
    ("", "Pod"): ("spec",),
    ("", "PodTemplate"): ("template", "spec"),
    ("", "ReplicationController"): ("spec", "template", "spec"),
    ("apps", "Deployment"): ("spec", "template", "spec"),
    ("apps", "StatefulSet"): ("spec", "template", "spec"),
    ("apps", "DaemonSet"): ("spec", "template", "spec"),
    ("apps", "ReplicaSet"): ("spec", "template", "spec"),
    ("batch", "Job"): ("spec", "template", "spec"),
    ("batch", "CronJob"): ("spec", "jobTemplate", "spec", "template", "spec"),
}


def check(manifest: Object, subject: str) -> None:
    """Check every quantity of a manifest.

    :raises ManifestError: naming object, field and value of the first that is none, or that cannot be there.
    """
    group, _slash, version = str(manifest["apiVersion"]).rpartition("/")
    kind = (group, str(manifest["kind"]))
    if kind == ("autoscaling", "HorizontalPodAutoscaler") and version == "v1":
        return  # its metrics are another kind's
    _check(manifest, _OF_KIND.get(kind, ()), subject, "")
    pod = _POD_AT.get(kind)
    if pod:
        spec, path = at(manifest, *pod), ".".join(pod)
        _check(spec, _POD, subject, path)
        for field_path in _REQUESTS:
            _within_limits(spec, field_path, subject, path)


def _check(value: Any, paths: Paths, subject: str, path: str) -> None:
    for field_path, least in paths:
        for name, quantity in _values(value, field_path, path, subject):
            error = invalid_reason(quantity, least=least)
            if error:
                raise ManifestError(f"{subject}: {name} is {error}", FORM)


def _values(value: Any, field_path: Path, path: str, subject: str) -> Iterator[tuple[str, Any]]:
    """``(path, value)`` of all that is at a place; null is unset, as for the API server."""
    if value is None:
        return
    if not field_path:
        yield path, value
    elif field_path[0] == "[]":
        for index, item in enumerate(value if isinstance(value, list) else []):
            yield from _values(item, field_path[1:], f"{path}[{index}]", subject)
    elif field_path[0] == "*":
        if not isinstance(value, dict):
            raise ManifestError(
                f"{subject}: {path} is {type_name(value)}, not a mapping of quantities", "write it as one"
            )
        for key, item in value.items():
            yield from _values(item, field_path[1:], f"{path}.{key}", subject)
    elif isinstance(value, dict):
        yield from _values(value.get(field_path[0]), field_path[1:], f"{path}.{field_path[0]}".lstrip("."), subject)


def _within_limits(spec: Any, field_path: str, subject: str, path: str) -> None:
    """:raises ManifestError: when more is requested than is allowed."""
    for name, resources in _values(spec, _path(field_path), path, subject):
        limits = mapping(resources, "limits")
        for resource, request in mapping(resources, "requests").items():
            limit = limits.get(resource)
            if request is not None and limit is not None and parse(request) > parse(limit):
                raise ManifestError(
                    f"{subject}: {name}.requests.{resource} is {quoted(request)}, more than its limit {quoted(limit)}",
                    "lower the request, or raise the limit",
                )
