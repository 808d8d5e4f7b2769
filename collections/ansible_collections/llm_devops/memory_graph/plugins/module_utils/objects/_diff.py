# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The differences between two objects, as paths a person can read. Pure."""

from __future__ import annotations

import difflib
import re
from typing import Any

SHOWN_LINES = 6
DIGEST = re.compile(r"[0-9a-f]{32,}")
Change = dict[str, Any]
_MERGE_KEYS = ("name", "mountPath", "containerPort", "port", "type", "key", "topologyKey", "ip")


def changes(before: Any, after: Any, path: str = "") -> list[Change]:
    """Every leaf that differs: ``[{path, before, after}]``; what is absent is None. List items go by name."""
    if isinstance(before, dict) and isinstance(after, dict):
        result = []
        for key in [*before, *(key for key in after if key not in before)]:
            step = f"{path}.{key}" if path else str(key)
            if "." in str(key) or "/" in str(key):
                step = f"{path}[{key}]"
            result += changes(before.get(key), after.get(key), step)
        return result
    if isinstance(before, list) and isinstance(after, list):
        return _list_changes(before, after, path)
    return [] if before == after else [{"path": path, "before": before, "after": after}]


def _list_changes(before: list[Any], after: list[Any], path: str) -> list[Change]:
    key = _merge_key(before + after)
    if key is None:
        return [] if before == after else [{"path": path, "before": before, "after": after}]
    old, new = {item[key]: item for item in before}, {item[key]: item for item in after}
    if len(old) != len(before) or len(new) != len(after):
        return [] if before == after else [{"path": path, "before": before, "after": after}]
    result = []
    for name in [*old, *(name for name in new if name not in old)]:
        result += changes(old.get(name), new.get(name), f"{path}[{name}]")
    if not result and before != after:
        return [{"path": path, "before": list(old), "after": list(new)}]  # only the order moved
    return result


def _merge_key(items: list[Any]) -> str | None:
    for key in _MERGE_KEYS:
        if items and all(isinstance(item, dict) and isinstance(item.get(key), str | int) for item in items):
            return key
    return None


def line(change: Change) -> str:
    """``spec.replicas: 3 → 4``; hashes of secrets read ``data.KEY: changed (keyed hash 9c2e → 41aa)``."""
    before, after = change["before"], change["after"]
    if all(str(value).startswith("keyed hash ") for value in (before, after)):
        return f"{change['path']}: changed (keyed hash {str(before)[11:]} → {str(after)[11:]})"
    if all(isinstance(value, str) and "\n" in value for value in (before, after)):
        return f"{change['path']}: {_lines_that_differ(before, after)}"
    return f"{change['path']}: {short(before)} → {short(after)}"


def _lines_that_differ(before: str, after: str) -> str:
    """Return the lines that were taken out of a long text, such as a file in a ConfigMap, and those put in."""
    lines = [
        f"{mark[0]}{short(mark[2:])}"
        for mark in difflib.ndiff(before.splitlines(), after.splitlines())
        if mark[0] in "+-"
    ]
    more = f" and {len(lines) - SHOWN_LINES} more lines" if len(lines) > SHOWN_LINES else ""
    return " ".join(lines[:SHOWN_LINES]) + more or "the line end"


def short(value: Any) -> str:
    """The value on one line of at most 80 characters, of a digest its beginning; ``absent`` for None."""
    if value is None:
        return "absent"
    text = " ".join(str(value).split())
    if DIGEST.fullmatch(text):
        return f"{text[:8]}…"
    return text if len(text) <= 80 else f"{text[:77]}…"
