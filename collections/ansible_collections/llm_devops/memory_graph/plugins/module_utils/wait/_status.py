# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The state of an awaited object, and the trail of the states before it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..kinds._verdict import UNSEEN
from ..objects._manifest import Ref


@dataclass
class Status:
    """The state of one awaited object. ``trail`` lists its states while it was watched, for ``seconds``.

    ``serving`` counts the ready pods of earlier revisions of a workload that is not ready, as ``2/3`` of the desired.
    """

    ref: Ref
    state: str
    reason: str
    why: str = ""
    way_out: str = ""
    trail: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    seconds: float = 0.0
    serving: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {"kind": self.ref.kind, "namespace": self.ref.namespace, "name": self.ref.name, "state": self.state,
                "reason": self.reason, "why": self.why, "way_out": self.way_out}  # fmt: skip

    def record(self, text: str, detail: str) -> str:
        """Add a state to the trail, and return its line; nothing where no line is due.

        One is due for a change of state, and for the detail of a state, once, also when it comes later.
        """
        last = self.trail[-1] if self.trail else ""
        same = last == text or last.startswith(f"{text}: ")
        if not same and last.endswith(f": {detail}"):
            detail = ""
        adds_detail = detail and last in (text, f"{text}: {UNSEEN}") and not last.endswith(detail)
        if (same and not adds_detail) or (not self.trail and self.state == "ready"):
            return ""
        line = f"{text}: {detail}" if detail else text
        if same:
            self.trail[-1] = line
        else:
            self.trail.append(line)
        return line
