# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Equivalence of manifests: an API server accepts all or none, as they differ only in names and free text. Pure.

Two manifests are equivalent when they have the same canonical form. In it, names at the places below are numbered in
the order in which they appear, so that what must be equal (a selector and the labels of its pods) or different (two
containers) stays so, and free text is left out. Everything else is there as it is written. A manifest has no canonical
form, and so is equivalent to none, when its kind is not below or when a name or text is out of the ordinary.

A name is ordinary when every rule of Kubernetes for names takes it: at most 52 lower-case letters, digits and single
hyphens, a letter first. Text is free where no rule looks at it but one that is checked here.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from .._json import text
from ..objects._manifest import Object, serialized

MAX_BYTES = 500_000  # of a whole manifest; the API server's own bounds begin at 1 MiB
MAX_ANNOTATION_BYTES = 100_000
_NAME = re.compile(r"[a-z](?:[a-z0-9]|-(?!-)){0,50}[a-z0-9]|[a-z]")
_ODD = re.compile("[\0\ud800-\udfff]")
_OF_KUBERNETES = re.compile(r"(?:^|\.)(?:kubernetes|k8s)\.io/")

Shape = dict[str, Any]
"""A rule for each key, or a shape of its value. ``*`` is any key, ``[]`` each item of a list."""


class NotComparable(Exception):
    """A value that only the API server can judge."""


class _Names:
    """Numbers of names, by appearance."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def __call__(self, value: Any) -> Any:
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            return ["exactly", value]
        return ["name", self._numbers.setdefault(value, len(self._numbers))]


def _free(value: Any) -> Any:
    if not isinstance(value, str) or _ODD.search(value):
        raise NotComparable
    return ["text"]


def _image(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch(r"[!-~]+", value):
        raise NotComparable
    return ["image"]


def _base64(value: Any) -> Any:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise NotComparable from error
    return ["base64"]


def _count(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise NotComparable
    return ["count"]


NAME = "name"
_LABELS: Shape = {"*": NAME}
_META: Shape = {"name": NAME, "labels": _LABELS, "annotations": "annotations"}
_ONE_NAME: Shape = {"name": NAME}
_SELECTOR: Shape = {"matchLabels": _LABELS}
_CONTAINERS: Shape = {
    "[]": {
        "name": NAME,
        "image": _image,
        "args": {"[]": _free},
        "command": {"[]": _free},
        "env": {"[]": {"value": _free, "valueFrom": {"configMapKeyRef": _ONE_NAME, "secretKeyRef": _ONE_NAME}}},
        "envFrom": {"[]": {"configMapRef": _ONE_NAME, "secretRef": _ONE_NAME}},
        "volumeMounts": {"[]": _ONE_NAME},
    }
}
_VOLUME: Shape = {
    "name": NAME,
    "configMap": _ONE_NAME,
    "secret": {"secretName": NAME},
    "persistentVolumeClaim": {"claimName": NAME},
}
_TEMPLATE: Shape = {
    "metadata": _META,
    "spec": {
        "containers": _CONTAINERS,
        "initContainers": _CONTAINERS,
        "volumes": {"[]": _VOLUME},
        "serviceAccountName": NAME,
        "imagePullSecrets": {"[]": _ONE_NAME},
        "topologySpreadConstraints": {"[]": {"labelSelector": _SELECTOR}},
    },
}
_WORKLOAD: Shape = {"metadata": _META, "spec": {"replicas": _count, "selector": _SELECTOR, "template": _TEMPLATE}}
_STATEFUL: Shape = {
    "metadata": _META,
    "spec": {**_WORKLOAD["spec"], "serviceName": NAME, "volumeClaimTemplates": {"[]": {"metadata": _META}}},
}
_JOB: Shape = {"metadata": _META, "spec": {"template": _TEMPLATE}}
_NAMED: Shape = {"metadata": _META}
_SHAPES: dict[tuple[str, str], Shape] = {
    ("v1", "ConfigMap"): {"metadata": _META, "data": {"*": _free}},
    ("v1", "Secret"): {"metadata": _META, "data": {"*": _base64}},
    ("v1", "ServiceAccount"): {"metadata": _META, "imagePullSecrets": {"[]": _ONE_NAME}, "secrets": {"[]": _ONE_NAME}},
    ("v1", "Service"): {"metadata": _META, "spec": {"selector": _LABELS}},
    ("v1", "PersistentVolumeClaim"): _NAMED,
    ("apps/v1", "Deployment"): _WORKLOAD,
    ("apps/v1", "StatefulSet"): _STATEFUL,
    ("apps/v1", "DaemonSet"): _WORKLOAD,
    ("batch/v1", "Job"): _JOB,
    ("batch/v1", "CronJob"): {"metadata": _META, "spec": {"jobTemplate": {"metadata": _META, "spec": _JOB["spec"]}}},
    ("rbac.authorization.k8s.io/v1", "Role"): _NAMED,
    ("policy/v1", "PodDisruptionBudget"): {"metadata": _META, "spec": {"selector": _SELECTOR}},
    ("networking.k8s.io/v1", "NetworkPolicy"): {"metadata": _META, "spec": {"podSelector": _SELECTOR}},
    ("autoscaling/v2", "HorizontalPodAutoscaler"): {"metadata": _META, "spec": {"scaleTargetRef": _ONE_NAME}},
}


def canonical_form(manifest: Object) -> bytes | None:
    """Return the form that equivalent manifests share; None for one that is equivalent to no other."""
    shape = _SHAPES.get((text(manifest, "apiVersion"), text(manifest, "kind")))
    special = manifest.get("kind") == "Secret" and manifest.get("type", "Opaque") != "Opaque"
    if shape is None or special or len(serialized(manifest)) > MAX_BYTES:
        return None
    try:
        return serialized(_form(manifest, shape, _Names()))
    except NotComparable:
        return None


def _form(value: Any, shape: Any, names: _Names) -> Any:
    if shape == NAME:
        return names(value)
    if shape == "annotations":
        return _annotations(value)
    if isinstance(shape, dict):
        if isinstance(value, dict):
            return {key: _below(value[key], shape, str(key), names) for key in sorted(value, key=str)}
        if isinstance(value, list) and "[]" in shape:
            return [_form(item, shape["[]"], names) for item in value]
        return ["exactly", value]
    rule: Callable[[Any], Any] = shape
    return rule(value)


def _below(value: Any, shape: Shape, key: str, names: _Names) -> Any:
    rule = shape.get(key, shape.get("*"))
    return ["exactly", value] if rule is None else _form(value, rule, names)


def _annotations(value: Any) -> Any:
    """Return the form of annotations: free text, except those of Kubernetes, which its admission reads."""
    if not isinstance(value, dict) or len(serialized(value)) > MAX_ANNOTATION_BYTES:
        raise NotComparable
    return {
        key: ["exactly", item] if _OF_KUBERNETES.search(str(key)) else _free(item)
        for key, item in sorted(value.items())
    }
