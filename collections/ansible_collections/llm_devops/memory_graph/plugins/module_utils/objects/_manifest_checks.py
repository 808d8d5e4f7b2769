# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Checks of a manifest before anything is sent; an error is one sentence that names the field. Pure.

The API server says some of this in Go's words, with the value in them, and of a namespace that does not exist yet it
can say nothing. A sentence here never quotes a value, which may be a Secret's, but a quantity.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import math
import re
from collections.abc import Mapping
from typing import Any

from .._errors import ManifestError
from .._json import at, type_name
from . import _manifest_quantities

Object = dict[str, Any]
MAX_DEPTH = 100
_API_VERSION = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9]*\Z")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_DATA_KEY = re.compile(r"[-._a-zA-Z0-9]+\Z")
MAX_RELEASE_NAME = 230
"""A DNS subdomain has 253 characters, and the record's Secrets add ``-release.slot<N>.<part>``."""
_POD = (("spec",), ("spec", "template", "spec"), ("spec", "jobTemplate", "spec", "template", "spec"))
_SHAPES: tuple[tuple[tuple[str, ...], type], ...] = (
    (("spec",), dict), (("spec", "template"), dict), (("spec", "jobTemplate"), dict), (("spec", "ports"), list),
    (("spec", "jobTemplate", "spec"), dict), (("spec", "jobTemplate", "spec", "template"), dict),
    (("spec", "scaleTargetRef"), dict), (("spec", "metrics"), list), (("spec", "volumeClaimTemplates"), list),
    (("spec", "names"), dict), (("spec", "resources"), dict), (("rules",), list), (("roleRef",), dict),
    *(((*pod, key), list) for pod in _POD for key in ("containers", "initContainers", "volumes", "imagePullSecrets")),
    *((pod, dict) for pod in _POD),
)  # fmt: skip
"""Fields that checks and waits look into, and what they must be."""
_WRITTEN = {"true": "yes, on or y", "false": "no, off or n"}
"""How else YAML 1.1 writes a truth value, also as a key."""


def release_name(name: str) -> None:
    """:raises ManifestError: when no Lease and no Secret could be called after it."""
    if len(name) > MAX_RELEASE_NAME or not _SUBDOMAIN.match(name):
        raise ManifestError(
            f"the release's name {name[:60]!r} is no DNS name (RFC 1123), and its Lease is called after it",
            f"use lower-case letters, digits, '-' and '.', {MAX_RELEASE_NAME} characters at most",
        )


def namespace_name(name: str, of: str) -> None:
    """:raises ManifestError: when no namespace can have the name."""
    if len(name) > 63 or not _LABEL.match(name):
        raise ManifestError(
            f"the namespace {name[:60]!r} of {of} is no DNS label (RFC 1123)",
            "use lower-case letters, digits and '-', 63 characters at most",
        )


def json_value(value: Any, path: str, depth: int = 0) -> Any:
    """A copy of ``value`` in JSON's types alone; dates become texts, keys become texts.

    :raises ManifestError: naming the path of what JSON does not have.
    """
    if depth > MAX_DEPTH:
        raise ManifestError(f"{path.partition('.')[0]} is nested more than {MAX_DEPTH} deep", "give a flatter manifest")
    if isinstance(value, Mapping):
        return {_key(key, path): json_value(item, f"{path}.{key}", depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
    if isinstance(value, str):
        return _unicode(str(value), path)
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, dt.date):  # a datetime is one, too
        return value.isoformat()
    raise ManifestError(f"{path} is a {type(value).__name__}, which JSON does not have", "give a text, or leave it out")


def _key(key: Any, path: str) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, str | int):
        return _unicode(str(key), path)
    if isinstance(key, dt.date):
        return key.isoformat()
    raise ManifestError(f"{path} has a key that is no text", "quote it")


def _unicode(text: str, path: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ManifestError(f"{path} holds half of a surrogate pair, which is no Unicode text", "mend it") from error
    return text


def identity(manifest: Any, position: int) -> Object:
    """The manifest in JSON's types, its kind and name being there.

    :raises ManifestError: when it has no identity.
    """
    if not isinstance(manifest, Mapping):
        raise ManifestError(f"object {position} is {type_name(manifest)}, not a mapping", "give manifests")
    for key, form in (("apiVersion", _API_VERSION), ("kind", _KIND)):
        value = manifest.get(key)
        if not isinstance(value, str) or not value:
            raise ManifestError(f"object {position} has no {key}", "give it")
        if not form.match(value):
            raise ManifestError(f"object {position} has a malformed {key}", "write it as in apps/v1, Deployment")
    metadata = manifest.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    if not isinstance(name, str) or not name:
        message = f"object {position}, a {manifest['kind']}, has no metadata.name"
        if isinstance(metadata, Mapping) and metadata.get("generateName"):
            raise ManifestError(message, "a release knows its objects by name: give name instead of generateName")
        raise ManifestError(message, "give it, as a text" if name is not None else "give it")
    if name in (".", "..") or "/" in name or "%" in name:  # the API server's own rule for a part of a path
        raise ManifestError(f"object {position}, a {manifest['kind']}, has a name with '/' or '%'", "rename it")
    copied: Object = json_value(manifest, f"{manifest['kind']}/{name}")
    return copied


def content(manifest: Object, position: int) -> None:
    """Check fields that every release has, for values that the API server would refuse or take otherwise than meant.

    :raises ManifestError: naming object and field.
    """
    subject = f"object {position}, {manifest['kind']}/{manifest['metadata']['name']}"
    namespace = manifest["metadata"].get("namespace")
    if namespace:
        if not isinstance(namespace, str):
            raise ManifestError(f"{subject}: metadata.namespace is {type_name(namespace)}, not a text", "quote it")
        namespace_name(namespace, subject)
    for field_path, shape in _SHAPES:
        shaped(manifest, subject, field_path, shape)
    _manifest_quantities.check(manifest, subject)
    for path, metadata in _metadata(manifest):
        for part in ("labels", "annotations"):
            texts(metadata.get(part), subject, f"{path}.{part}")
    if (manifest["apiVersion"], manifest["kind"]) == ("v1", "ConfigMap"):
        texts(manifest.get("data"), subject, "data", keys=_DATA_KEY)
        texts(manifest.get("binaryData"), subject, "binaryData", keys=_DATA_KEY, encoded=True)
    if (manifest["apiVersion"], manifest["kind"]) == ("v1", "Secret"):
        texts(manifest.get("data"), subject, "data", keys=_DATA_KEY, encoded=True)
        texts(manifest.get("stringData"), subject, "stringData", keys=_DATA_KEY)


def shaped(manifest: Object, subject: str, path: tuple[str, ...], shape: type) -> None:
    """:raises ManifestError: when a field of a kind of Kubernetes' own is no mapping, or no list of mappings."""
    group, value = str(manifest["apiVersion"]).rpartition("/")[0], at(manifest, *path)
    if value is None or not ("." not in group or group.endswith(".k8s.io")):
        return
    named = ".".join(path)
    if not isinstance(value, shape):
        raise ManifestError(f"{subject}: {named} is {type_name(value)}, not {type_name(shape())}", "write it as one")
    items: list[Any] = value if isinstance(value, list) else []
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise ManifestError(f"{subject}: {named}[{index}] is {type_name(item)}, not a mapping", "write it as one")


def _metadata(manifest: Object) -> list[tuple[str, Object]]:
    """The object's metadata, and that of its pod template."""
    metadata = [("metadata", manifest["metadata"])]
    spec = manifest.get("spec")
    template = spec.get("template") if isinstance(spec, dict) and manifest["apiVersion"] in _WORKLOADS else None
    if isinstance(template, dict) and isinstance(template.get("metadata"), dict):
        metadata.append(("spec.template.metadata", template["metadata"]))
    return metadata


_WORKLOADS = frozenset({"v1", "apps/v1", "batch/v1"})


def texts(mapping: Any, subject: str, path: str, *, keys: re.Pattern[str] | None = None, encoded: bool = False) -> None:
    """:raises ManifestError: when ``mapping`` is no mapping of texts; ``encoded`` texts are base64."""
    if mapping is None:
        return
    if not isinstance(mapping, dict):
        raise ManifestError(
            f"{subject}: {path} is {type_name(mapping)}, not a mapping of texts", "write it as key: value"
        )
    for key, text in mapping.items():
        if keys and not (keys.match(key) and len(key) <= 253 and key not in (".", "..")):
            raise ManifestError(f"{subject}: {path} has a key {key[:60]!r}, which none may be called",
                                "use letters, digits, '-', '_' and '.'")  # fmt: skip
        if text is None:
            continue
        if not isinstance(text, str):
            way_out = "quote it" if not isinstance(text, dict | list) else "write it as one text"
            if key in _WRITTEN:
                way_out += (
                    f"; the key, too, where it is written {_WRITTEN[key]}: without quotes YAML takes that for {key}"
                )
            raise ManifestError(f"{subject}: {path}.{key} is {type_name(text)}, not a text", way_out)
        if encoded and not _base64(text):
            other = "stringData" if path == "data" else "data"
            raise ManifestError(f"{subject}: {path}.{key} is not base64", f"encode it, or give plain text in {other}")


def _base64(text: str) -> bool:
    try:
        base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)  # Go passes over line ends
    except (binascii.Error, ValueError):
        return False
    return True
