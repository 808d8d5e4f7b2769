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
from ._quantity import FORM, fault, parse, shown

Object = dict[str, Any]
Path = tuple[str, ...]
Places = tuple[tuple[Path, int], ...]
ANY, NOT_NEGATIVE, POSITIVE = -1, 0, 1
"""What a quantity must be beside one; in a path ``[]`` is each item of a list, ``*`` each value of a mapping."""


def _path(text: str) -> Path:
    return tuple(text.replace("[]", ".[]").split("."))


def _places(at_path: str, least: dict[str, int]) -> Places:
    """Each of the paths below ``at_path``, with what its quantities must be."""
    return tuple((_path(f"{at_path}.{below}"), value) for below, value in least.items())


_RESOURCES: dict[str, int] = {"requests.*": NOT_NEGATIVE, "limits.*": NOT_NEGATIVE}
_CLAIM: dict[str, int] = {
    "resources.requests.storage": POSITIVE, "resources.requests.*": NOT_NEGATIVE, "resources.limits.*": NOT_NEGATIVE,
}  # fmt: skip
_DIVISOR: dict[str, int] = {"resourceFieldRef.divisor": ANY}
_CONTAINERS = ("containers[]", "initContainers[]", "ephemeralContainers[]")
_REQUESTS = (*(f"{name}.resources" for name in _CONTAINERS), "resources")
_POD: Places = (
    *(place for name in _REQUESTS for place in _places(name, _RESOURCES)),
    *(place for name in _CONTAINERS for place in _places(f"{name}.env[].valueFrom", _DIVISOR)),
    *_places("volumes[].downwardAPI.items[]", _DIVISOR),
    *_places("volumes[].projected.sources[].downwardAPI.items[]", _DIVISOR),
    *_places("volumes[].ephemeral.volumeClaimTemplate.spec", _CLAIM),
    (_path("volumes[].emptyDir.sizeLimit"), NOT_NEGATIVE),
    (_path("overhead.*"), NOT_NEGATIVE),
)
_TARGET: dict[str, int] = {"target.value": POSITIVE, "target.averageValue": POSITIVE}
_METRICS = ("resource", "containerResource", "pods", "object", "external")
_LIMITS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
_OF_KIND: dict[tuple[str, str], Places] = {
    ("", "PersistentVolumeClaim"): _places("spec", _CLAIM),
    ("", "PersistentVolume"): _places("spec.capacity", {"storage": POSITIVE, "*": NOT_NEGATIVE}),
    ("", "ResourceQuota"): _places("spec", {"hard.*": NOT_NEGATIVE}),
    ("", "LimitRange"): _places("spec", {f"limits[].{name}.*": ANY for name in _LIMITS}),
    ("apps", "StatefulSet"): _places("spec.volumeClaimTemplates[].spec", _CLAIM),
    ("autoscaling", "HorizontalPodAutoscaler"): tuple(
        place for name in _METRICS for place in _places(f"spec.metrics[].{name}", _TARGET)
    ),
    ("node.k8s.io", "RuntimeClass"): _places("overhead", {"podFixed.*": NOT_NEGATIVE}),
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


def check(manifest: Object, who: str) -> None:
    """Check every quantity of a manifest.

    :raises ManifestError: naming object, field and value of the first that is none, or that cannot be there.
    """
    group, _slash, version = str(manifest["apiVersion"]).rpartition("/")
    kind = (group, str(manifest["kind"]))
    if kind == ("autoscaling", "HorizontalPodAutoscaler") and version == "v1":
        return  # its metrics are another kind's
    _check(manifest, _OF_KIND.get(kind, ()), who, "")
    pod = _POD_AT.get(kind)
    if pod:
        spec, path = at(manifest, *pod), ".".join(pod)
        _check(spec, _POD, who, path)
        for place in _REQUESTS:
            _within_limits(spec, place, who, path)


def _check(value: Any, places: Places, who: str, path: str) -> None:
    for place, least in places:
        for named, quantity in _found(value, place, path, who):
            wrong = fault(quantity, least=least)
            if wrong:
                raise ManifestError(f"{who}: {named} is {wrong}", FORM)


def _found(value: Any, place: Path, path: str, who: str) -> Iterator[tuple[str, Any]]:
    """``(path, value)`` of all that is at a place; null is unset, as for the API server."""
    if value is None:
        return
    if not place:
        yield path, value
    elif place[0] == "[]":
        for index, item in enumerate(value if isinstance(value, list) else []):
            yield from _found(item, place[1:], f"{path}[{index}]", who)
    elif place[0] == "*":
        if not isinstance(value, dict):
            raise ManifestError(f"{who}: {path} is {type_name(value)}, not a mapping of quantities", "write it as one")
        for key, item in value.items():
            yield from _found(item, place[1:], f"{path}.{key}", who)
    elif isinstance(value, dict):
        yield from _found(value.get(place[0]), place[1:], f"{path}.{place[0]}".lstrip("."), who)


def _within_limits(spec: Any, place: str, who: str, path: str) -> None:
    """:raises ManifestError: when more is requested than is allowed."""
    for named, resources in _found(spec, _path(place), path, who):
        limits = mapping(resources, "limits")
        for resource, request in mapping(resources, "requests").items():
            limit = limits.get(resource)
            if request is not None and limit is not None and parse(request) > parse(limit):
                raise ManifestError(
                    f"{who}: {named}.requests.{resource} is {shown(request)}, more than its limit {shown(limit)}",
                    "lower the request, or raise the limit",
                )
