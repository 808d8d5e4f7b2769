# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Manifests as history keeps them: of a Secret only what it is called and keyed hashes of its values. Pure."""

from __future__ import annotations

import base64
import binascii
import copy
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..cluster._cluster import FIELD_MANAGER
from ..cluster._secret_values import PUBLIC_KEYS
from ..objects import _fields
from ..objects._manifest import Object
from ..objects._redact import LAST_APPLIED


@dataclass(frozen=True)
class Kept:
    """An object of a revision. ``hashes``: of each key of a Secret, a keyed hash of the value it had."""

    manifest: Object
    hashes: dict[str, str] | None = None

    def as_dict(self) -> dict[str, Any]:
        return {"manifest": self.manifest} | ({} if self.hashes is None else {"hashes": self.hashes})


@dataclass(frozen=True)
class Restored:
    """A kept object made ready to apply. ``missing`` and ``moved``: keys of a Secret that are gone or have another
    value since."""

    manifest: Object
    missing: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)


def withheld(manifest: Object, key: bytes) -> Kept:
    """What may be kept of ``manifest``."""
    if manifest.get("kind") != "Secret":
        return Kept(manifest)
    shown = copy.deepcopy({name: value for name, value in manifest.items() if name in PUBLIC_KEYS})
    annotations = shown["metadata"].get("annotations")
    if isinstance(annotations, dict):
        annotations.pop(LAST_APPLIED, None)  # kubectl keeps the whole Secret in it
    return Kept(shown, {name: value_hash(value, key) for name, value in (manifest.get("data") or {}).items()})


def value_hash(encoded: Any, key: bytes) -> str:
    """HMAC-SHA256 of a Secret's value, whatever its base64 looks like; useless without the release's key."""
    try:
        content = base64.b64decode(str(encoded))
    except binascii.Error:
        content = str(encoded).encode()
    return hmac.new(key, content, hashlib.sha256).hexdigest()


def restored(kept: Kept, live: Mapping[str, Any] | None, key: bytes) -> Restored:
    """The object again. Values of a Secret are those that live: of the keys it had, and of those we own since.

    Without its live values a Secret must not be applied: server-side apply takes away what a manifest leaves out.
    """
    if kept.hashes is None:
        return Restored(copy.deepcopy(kept.manifest))
    data = dict((live or {}).get("data") or {})
    ours = (_fields.owned(dict(live), FIELD_MANAGER) if live else {}).get("f:data") or {}
    taken = {name: value for name, value in data.items() if name in kept.hashes or f"f:{name}" in ours}
    moved = [name for name, value in taken.items() if value_hash(value, key) != kept.hashes.get(name)]
    manifest = copy.deepcopy(kept.manifest) | ({"data": taken} if taken or kept.hashes else {})
    return Restored(manifest, sorted(set(kept.hashes) - set(data)), sorted(moved))
