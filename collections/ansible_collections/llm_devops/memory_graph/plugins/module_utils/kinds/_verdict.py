# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The verdict on an object, and the parts of its metadata and status that rules read. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .._json import at, integer, mappings, text

Object = dict[str, Any]
UNSEEN = "not seen by its controller yet"


class Verdict(NamedTuple):
    """Whether an object is ready, and why.

    ``state`` is ready, progressing or failed; ``reason`` is short enough for a progress line.
    """

    state: str
    reason: str


def ready_if(condition_met: bool, reason: str) -> Verdict:
    return Verdict("ready" if condition_met else "progressing", reason)


def group_of(obj: Mapping[str, Any]) -> str:
    return text(obj, "apiVersion").rpartition("/")[0]


def deleting(obj: Object) -> bool:
    return bool(at(obj, "metadata", "deletionTimestamp"))


def condition(obj: Object, kind: str) -> Object:
    for item in mappings(obj, "status", "conditions"):
        if item.get("type") == kind:
            return item
    return {}


def observed(obj: Object) -> bool:
    """Whether the controller has seen the current spec; its status is about an older one until then."""
    return integer(obj, "status", "observedGeneration") >= integer(obj, "metadata", "generation")


def explanation(item: Object, default: str) -> str:
    """``FailedCreate: exceeded quota``: reason and message of a condition, or the default where it has neither."""
    return ": ".join(value for key in ("reason", "message") if (value := text(item, key))) or default
