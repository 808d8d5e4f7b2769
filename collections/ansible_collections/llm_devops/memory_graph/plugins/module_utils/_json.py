# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Typed reads of JSON that others wrote: an empty value where the path or the type is another. Pure.

A status, an event or an owner reference has the shape its writer gave it. Only what has the documented type is read.
"""

from __future__ import annotations

import re
from typing import Any

_INTEGER = re.compile(r"-?\d{1,18}")


def at(value: Any, *path: str) -> Any:
    """Return the value at a path of mapping keys, or None."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def mapping(value: Any, *path: str) -> dict[str, Any]:
    """Return the mapping at a path, else an empty one."""
    value = at(value, *path)
    return value if isinstance(value, dict) else {}


def mappings(value: Any, *path: str) -> list[dict[str, Any]]:
    """Return the mappings in the list at a path; items of other types are left out."""
    value = at(value, *path)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def strings(value: Any, *path: str) -> list[str]:
    """Return the strings in the list at a path; items of other types are left out."""
    value = at(value, *path)
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def text(value: Any, *path: str) -> str:
    """Return the string or number at a path, as text; else an empty one."""
    value = at(value, *path)
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def integer(value: Any, *path: str, default: int = 0) -> int:
    """Return the whole number at a path, also one written as text; else ``default``."""
    value = at(value, *path)
    if isinstance(value, bool):
        return default
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else default
    return int(value) if isinstance(value, str) and _INTEGER.fullmatch(value) else default


_TYPES = ((bool, "a truth value"), ((int, float), "a number"), (str, "a text"), (list, "a list"), (dict, "a mapping"))


def type_name(value: Any) -> str:
    """Return ``a number`` or ``a list``: a person's word for the type of a JSON value."""
    return next((name for kind, name in _TYPES if isinstance(value, kind)), "empty")
