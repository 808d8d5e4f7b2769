# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Everything that would stop a release, found before the first write and told all at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._errors import ApiError
from ..cluster._cluster import Cluster
from ..cluster._discovery import Discovery
from ..objects._manifest import Object
from ..release._history import HISTORY_LIMIT
from . import _check_access, _check_admission, _check_limits, _check_nodes, _check_workloads
from ._context import Finding, PreflightContext

CHECKS: tuple[tuple[str, Callable[[PreflightContext], None]], ...] = (
    ("namespace", _check_access.namespace),
    ("kinds", _check_access.kinds),
    ("permissions", _check_access.permissions),
    ("storage", _check_limits.storage),
    ("metrics", _check_limits.metrics),
    ("admission", _check_admission.admission),
    ("quota", _check_limits.quota),
    ("limits", _check_limits.limits),
    ("capacity", _check_nodes.capacity),
    ("images", _check_nodes.images),
    ("references", _check_access.references),
    ("workloads", _check_workloads.workloads),
)


class Preflight:
    """Run :meth:`run`, then read ``problems``, ``notes`` and ``passed``; nothing is ever written."""

    def __init__(self, cluster: Cluster, namespace: str, objects: list[Object], release: str = "memory-graph",
                 history_limit: int = HISTORY_LIMIT) -> None:  # fmt: skip
        self.cluster = cluster
        self._context = PreflightContext(cluster, release, namespace, objects, Discovery(cluster), history_limit)
        self.passed: list[Finding] = []

    @property
    def problems(self) -> list[Finding]:
        return self._context.problems

    @property
    def notes(self) -> list[Finding]:
        return self._context.notes

    def run(self) -> None:
        """All checks; what one of them may not read is a note, and the others go on.

        :raises ClusterError: only when the API server cannot be asked at all.
        """
        message = self._run_check("api", _check_access.api)
        self._conclude("api", str(message), 0)
        for name, check in CHECKS:
            before = len(self.problems) + len(self.notes)
            self._run_check(name, check)
            self._conclude(name, "ok", before)

    def _run_check(self, name: str, check: Callable[[PreflightContext], Any]) -> Any:
        self._context.check = name
        try:
            return check(self._context)
        except ApiError as error:
            self._context.add_note(f"could not be checked: {error.message}")

    def _conclude(self, name: str, message: str, before: int) -> None:
        if len(self.problems) + len(self.notes) == before:
            self.passed.append({"check": name, "message": message})


def table(problems: list[Finding], notes: list[Finding], passed: list[Finding]) -> str:
    """Return the findings for a person: a headline, then the problems with their ways out, the notes, and the rest."""
    if not problems:
        return "\n".join([_counted(len(passed), "check") + " passed" + _noted(notes)[0], *_noted(notes)[1]])
    width = max(len(item["check"]) for item in [*problems, *notes])
    message_width = min(max(len(item["message"]) for item in problems), 76)
    lines = [f"{_counted(len(problems), 'problem')}, nothing was written"]
    lines += [
        f"  ✗ {item['check']:<{width}}  {item['message']:<{message_width}}  → {item['way_out']}" for item in problems
    ]
    lines += [f"  · {item['check']:<{width}}  {item['message']}" for item in notes]
    return "\n".join([*lines, f"  ✓ {_counted(len(passed), 'other')} passed (-v shows them)"])


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _noted(notes: list[Finding]) -> tuple[str, list[str]]:
    """The notes after the headline: one beside it, several below."""
    if not notes:
        return "", []
    if len(notes) == 1:
        return f", 1 note: {notes[0]['message']}", []
    width = max(len(item["check"]) for item in notes)
    return f", {_counted(len(notes), 'note')}", [f"  · {item['check']:<{width}}  {item['message']}" for item in notes]
