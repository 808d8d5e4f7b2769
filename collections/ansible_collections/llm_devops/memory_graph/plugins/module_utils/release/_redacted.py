# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Manifests as history stores them: Secrets without their values, of which it has keyed hashes. Pure."""

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
class StoredObject:
    """An object of a revision. ``hashes`` has a keyed hash of each value of a Secret."""

    manifest: Object
    hashes: dict[str, str] | None = None

    def as_dict(self) -> dict[str, Any]:
        return {"manifest": self.manifest} | ({} if self.hashes is None else {"hashes": self.hashes})


@dataclass(frozen=True)
class RestoredObject:
    """A stored object ready to apply. ``missing``: keys of a Secret that are gone, ``changed``: with new values."""

    manifest: Object
    missing: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


def to_stored(manifest: Object, key: bytes) -> StoredObject:
    """Return ``manifest`` as it may be stored."""
    if manifest.get("kind") != "Secret":
        return StoredObject(manifest)
    public = copy.deepcopy({name: value for name, value in manifest.items() if name in PUBLIC_KEYS})
    annotations = public["metadata"].get("annotations")
    if isinstance(annotations, dict):
        annotations.pop(LAST_APPLIED, None)  # kubectl keeps the whole Secret in it
    return StoredObject(public, {name: value_hash(value, key) for name, value in (manifest.get("data") or {}).items()})


def value_hash(encoded: Any, key: bytes) -> str:
    """Return the HMAC-SHA256 of a Secret's value, whatever its base64 looks like; useless without the release's key."""
    try:
        content = base64.b64decode(str(encoded))
    except binascii.Error:
        content = str(encoded).encode()
    return hmac.new(key, content, hashlib.sha256).hexdigest()


def restore(stored: StoredObject, live: Mapping[str, Any] | None, key: bytes) -> RestoredObject:
    """Return the object ready to apply. A Secret gets its live values: of the keys it had, and of those we own since.

    Without its live values a Secret must not be applied: server-side apply takes away what a manifest leaves out.
    """
    if stored.hashes is None:
        return RestoredObject(copy.deepcopy(stored.manifest))
    live_data = dict((live or {}).get("data") or {})
    ours = (_fields.owned(dict(live), FIELD_MANAGER) if live else {}).get("f:data") or {}
    data = {name: value for name, value in live_data.items() if name in stored.hashes or f"f:{name}" in ours}
    changed = [name for name, value in data.items() if value_hash(value, key) != stored.hashes.get(name)]
    manifest = copy.deepcopy(stored.manifest) | ({"data": data} if data or stored.hashes else {})
    return RestoredObject(manifest, sorted(set(stored.hashes) - set(live_data)), sorted(changed))
