# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A problem that may end a wait, and the sentences of an object that did not become ready in time. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._json import text
from ._verdict import UNSEEN, Object, Verdict

HEALING_GRACE_S = 15.0
"""For what sometimes heals: a registry that hiccups, capacity that a dying pod still holds."""
AUTOSCALER_GRACE_S = 35.0
"""Two autoscaler syncs of 15 s, with a margin."""
REFERENCE_GRACE_S = 5.0
"""For a name that does not exist. Objects of this release already exist by then."""


@dataclass(frozen=True)
class WaitProblem:
    """A problem of an object. It ends the wait when it has lasted ``grace_s`` seconds; 0 is at once.

    ``missing`` marks a reference to something that does not exist, which an operator may still bring; ``final`` what
    nothing will mend.
    """

    reason: str
    why: str
    way_out: str
    grace_s: float = 0.0
    container: str = ""
    crashed: bool = False
    missing: bool = False
    final: bool = False


def one_line(value: Any) -> str:
    return " ".join(str(value).split())


def own_failure(_obj: Object, verdict: Verdict, _events: Sequence[Object]) -> WaitProblem | None:
    """Return the failure that an object's own status reports."""
    return WaitProblem(verdict.reason, "", "") if verdict.state == "failed" else None


def no_detail(_events: Sequence[Object]) -> str:
    return ""


def last_event(events: Sequence[Object]) -> str:
    """``AllocationFailed: no available IPs``."""
    event = events[-1] if events else {}
    return ": ".join(value for key in ("reason", "message") if (value := one_line(text(event, key))[:200]))


def late(kind: str, reason: str, describe: str) -> tuple[str, str]:
    """Return why, and the way out, when the time ran out on an object that may still become ready."""
    if UNSEEN in reason:
        return "no controller has looked at it", f"is the one that acts on {kind} running?  ·  {describe}"
    return "it did not become ready in time", describe
