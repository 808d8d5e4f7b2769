# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Secret values never leave: a keyed hash stands for each, so that a change shows and nothing can be guessed from it.

By object path and not by value: masking values (``no_log_values``) would blank every "1" and "a" of the output once a
secret is that short.
"""

from __future__ import annotations

import copy
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from ..cluster._secret_values import PUBLIC_KEYS

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def keyed_hash(value: Any, key: bytes) -> str:
    """Eight hex digits of HMAC-SHA256: enough to tell two values apart, useless without the key."""
    return hmac.new(key, str(value).encode(), hashlib.sha256).hexdigest()[:8]


def redacted(obj: Mapping[str, Any] | None, key: bytes) -> dict[str, Any] | None:
    """A copy of ``obj``; in a Secret everything is replaced but what it is called and of which type it is."""
    if obj is None:
        return None
    result: dict[str, Any] = copy.deepcopy(dict(obj))
    if result.get("kind") != "Secret":
        return result
    for part in sorted(result.keys() - PUBLIC_KEYS):
        if isinstance(result[part], Mapping):
            result[part] = {name: f"keyed hash {keyed_hash(value, key)}" for name, value in result[part].items()}
        else:
            result[part] = f"keyed hash {keyed_hash(result[part], key)}"
    metadata = result.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    if isinstance(annotations, dict) and LAST_APPLIED in annotations:  # kubectl keeps the whole Secret in it
        annotations[LAST_APPLIED] = f"keyed hash {keyed_hash(annotations[LAST_APPLIED], key)}"
    return result
