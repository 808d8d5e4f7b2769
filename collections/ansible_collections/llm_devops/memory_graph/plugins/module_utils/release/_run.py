# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""One run over a release: its parameters, its outcome, and what every run needs. Knows nothing of Ansible."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .._errors import ClusterError
from ..cluster._cluster import Cluster
from ..cluster._discovery import Discovery
from ..objects import _manifest_checks
from ..wait._status import Status
from . import _history, _lease, _prune
from ._step import Step

Progress = Callable[[str, str], None]


@dataclass(frozen=True)
class ReleaseParams:
    """The parameters of a run; each field is explained in the documentation of the ``release`` module."""

    name: str
    namespace: str
    objects: Any = None
    check: bool = False
    wait: bool = True
    wait_timeout: float = 300
    force_conflicts: bool = False
    parallelism: int = 8
    delete_data: bool = False
    revision: int | None = None
    history_limit: int = _history.HISTORY_LIMIT
    lock_timeout: float = 0
    rollback_command: str = ""


@dataclass
class Outcome:
    """The outcome of a run, also of one that failed half way."""

    record: _history.ReleaseRecord
    steps: list[Step] = field(default_factory=list)
    prune_candidates: list[_prune.PruneCandidate] = field(default_factory=list)
    statuses: list[Status] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    report: list[dict[str, str]] = field(default_factory=list)
    wrote: int = 0
    deleted: int = 0
    next_steps: list[str] = field(default_factory=list)

    @property
    def written(self) -> bool:
        return self.wrote > 0

    @property
    def differs(self) -> bool:
        return any(step.action != "unchanged" for step in self.steps) or any(
            candidate.action == "pruned" for candidate in self.prune_candidates
        )

    def count(self, action: str) -> int:
        return sum(step.action == action for step in self.steps)

    @property
    def pruned(self) -> int:
        return sum(candidate.action == "pruned" for candidate in self.prune_candidates)

    @property
    def status(self) -> str:
        """Say after a failure what was written and what was not, and how to go on."""
        todo = sum(step.action != "unchanged" or bool(step.error) for step in self.steps)
        done = f"{self.wrote} of {todo} objects that differ were written" if self.wrote else "Nothing was written"
        if self.deleted:
            return ". ".join([f"{done}, and what left the release was deleted", *self.next_steps]) + "."
        return (
            ". ".join([f"{done}, nothing was pruned" if self.wrote and self.pruned else done, *self.next_steps]) + "."
        )


class Run:
    """The connection, the lock and the outcome of one run over one release."""

    def __init__(self, cluster: Cluster, params: ReleaseParams, progress: Progress) -> None:
        _manifest_checks.release_name(params.name)
        _manifest_checks.namespace_name(params.namespace, f"release {params.name}")
        self.cluster, self.params = cluster, params
        self._hide = cluster.secret_values.hide
        self.progress: Progress = lambda label, text: progress(label, self._hide(text))
        cluster.secret_values.name(params.name, params.namespace)
        self.discovery = Discovery(cluster)
        self.outcome = Outcome(_history.ReleaseRecord(params.name, params.namespace))
        self.lease = _lease.Lease(cluster, params.name, params.namespace, self.say)

    def say(self, label: str, text: str) -> None:
        self.outcome.report.append({"label": label, "text": self._hide(text)})
        self.progress(label, text)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
        finally:
            self.outcome.timings[name] = round(time.monotonic() - start, 3)

    def fail(self, kind: str, name: str, error: ClusterError) -> None:
        """Add a failure that is of no single object."""
        if not any(failure["message"] == error.message for failure in self.outcome.failures):
            self.add_failure({"kind": kind, "namespace": self.params.namespace, "name": name,
                              "message": error.message, "way_out": error.way_out})  # fmt: skip

    def add_failure(self, failure: dict[str, Any]) -> None:
        """Add a failure; foreign texts in it, such as a pod's log, quote no Secret."""
        names = ("kind", "namespace", "name")
        self.outcome.failures.append({
            key: item if key in names else self.cluster.secret_values.hidden(item) for key, item in failure.items()
        })  # fmt: skip
