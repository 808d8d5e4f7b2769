# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A release from objects to running: plan, apply, wait, prune, record. Knows nothing of Ansible."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from . import _history, _plan, _prune, _waves
from ._cluster import Cluster
from ._discovery import Discovery
from ._errors import ClusterError
from ._manifest import Object, canonical, prepared
from ._redact import redacted
from ._terminating import absent_namespaces
from ._wait import Status, await_all

Progress = Callable[[str, str], None]


@dataclass(frozen=True)
class Wish:
    """What the caller wants; the meaning of each field is in the documentation of the ``release`` module."""

    name: str
    namespace: str
    objects: list[Any]
    check: bool = False
    wait: bool = True
    wait_timeout: float = 300
    force_conflicts: bool = False
    parallelism: int = 8
    delete_data: bool = False


@dataclass
class Outcome:
    """What happened, also when it went wrong half way."""

    record: _history.Record
    steps: list[_plan.Step] = field(default_factory=list)
    leaving: list[_prune.Leaving] = field(default_factory=list)
    statuses: list[Status] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    report: list[dict[str, str]] = field(default_factory=list)
    written: bool = False

    @property
    def differs(self) -> bool:
        return any(step.action != "unchanged" for step in self.steps) or any(
            one.action == "pruned" for one in self.leaving
        )

    def count(self, action: str) -> int:
        return sum(step.action == action for step in self.steps)

    @property
    def pruned(self) -> int:
        return sum(one.action == "pruned" for one in self.leaving)


class Release:
    """One run over one release."""

    def __init__(self, cluster: Cluster, wish: Wish, progress: Progress) -> None:
        self.cluster, self.wish, self._progress = cluster, wish, progress
        self.discovery = Discovery(cluster)
        self.outcome = Outcome(_history.Record(wish.name, wish.namespace))

    def say(self, label: str, text: str) -> None:
        self.outcome.report.append({"label": label, "text": text})
        self._progress(label, text)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
        finally:
            self.outcome.timings[name] = round(time.monotonic() - start, 3)

    def present(self) -> Outcome:
        """Bring the release about. Failures are in the outcome; only what prevents a plan is raised.

        :raises ClusterError: unreachable, not permitted, terminating namespace, malformed objects: nothing was written.
        """
        with self.timed("plan"):
            objects = prepared(self.wish.objects, self.wish.name, self.wish.namespace)
            absent = absent_namespaces(self.cluster, objects, self.wish.namespace)
            if self.wish.namespace not in absent:
                self.outcome.record = _history.read(self.cluster, self.wish.name, self.wish.namespace)
            self._plan(objects, absent)
        if self._failed():
            return self.outcome
        if not self.wish.check:
            self._bring_about(objects)
        return self.outcome

    def _plan(self, objects: list[Object], absent: set[str]) -> None:
        wish, outcome = self.wish, self.outcome
        outcome.steps = _plan.plan(
            self.cluster, self.discovery, objects, outcome.record,
            parallelism=wish.parallelism, force=wish.force_conflicts, absent_namespaces=absent,
        )  # fmt: skip
        gone = _prune.left(outcome.record.members, [step.ref for step in outcome.steps])
        outcome.leaving = _prune.leaving(
            self.cluster,
            self.discovery,
            gone,
            outcome.record.id,
            delete_data=wish.delete_data,
            parallelism=wish.parallelism,
        )
        if not any(step.error for step in outcome.steps):
            created, changed = outcome.count("created"), outcome.count("configured")
            text = f"{created} to create, {changed} to change, {outcome.pruned} to prune"
            self.say("plan", text if outcome.differs else f"{text} — nothing to do")

    def _bring_about(self, objects: list[Object]) -> None:
        outcome, before = self.outcome, self.outcome.record
        digest = before.digest_of(canonical(objects))
        if outcome.differs or before.revision == 0 or before.digest != digest:
            revision, fresh = before.revision + 1, True
        else:
            revision, fresh = before.revision, False
        with self.timed("apply"):
            self._apply(revision, digest, fresh)
        ok = not self._failed()
        if ok and self.wish.wait:
            with self.timed("wait"):
                ok = self._wait()
        if ok and outcome.pruned:
            with self.timed("prune"):
                _prune.delete(self.cluster, outcome.leaving, parallelism=self.wish.parallelism)
        self._conclude(revision, digest, fresh, ok)

    def _members(self, with_leaving: bool) -> list[_history.Member]:
        record = self.outcome.record
        members = [
            _history.Member(str(step.manifest["apiVersion"]), step.ref, step.stamp(record))
            for step in self.outcome.steps
        ]
        return members + (
            [one.member for one in self.outcome.leaving if one.action != "foreign"] if with_leaving else []
        )

    def _apply(self, revision: int, digest: str, fresh: bool) -> None:
        outcome, start = self.outcome, time.monotonic()
        widened = not (fresh and outcome.differs)
        for wave in _waves.split(outcome.steps, lambda step: step.manifest):
            foundation = [step for step in wave if step.ref.kind in _waves.FOUNDATION]
            if not widened and not foundation:  # widened first: a run cut off here is pruned by the next one
                pending = _history.advanced(outcome.record, revision, "pending", digest, self._members(True))
                _history.write(self.cluster, pending)
                widened = True
            _plan.apply(
                self.cluster, self.discovery, wave, parallelism=self.wish.parallelism, force=self.wish.force_conflicts
            )
            outcome.written = outcome.written or any(step.action != "unchanged" and not step.error for step in wave)
            if any(step.error for step in wave):
                return
            if foundation:
                await_all(self.cluster, self.discovery, foundation, 30, self._progress)
                self.discovery.forget()
        if outcome.differs:
            stages = " · ".join(_waves.stages(step.ref.kind for step in outcome.steps))
            done = len(outcome.steps)
            self.say("apply", f"{stages}  {done}/{done}  {time.monotonic() - start:.1f} s")

    def _wait(self) -> bool:
        outcome, start = self.outcome, time.monotonic()
        outcome.statuses = await_all(
            self.cluster, self.discovery, outcome.steps, self.wish.wait_timeout, self._progress
        )
        bad = [status for status in outcome.statuses if status.state == "failed"]
        bad = bad or [status for status in outcome.statuses if status.state != "ready"]  # else the time ran out
        if outcome.differs or bad:
            for status in (status for status in outcome.statuses if status.trail):
                trail = " → ".join(status.trail)
                outcome.report.append({"label": "wait", "text": f"{status.ref}  {trail}  {status.seconds:.1f} s"})
        for status in bad:
            after = f"failed after {time.monotonic() - start:.1f} s"
            why = (
                status.reason
                if status.state == "failed"
                else f"not ready in {self.wish.wait_timeout:g} s: {status.reason}"
            )
            outcome.failures.append({
                "kind": status.ref.kind, "namespace": status.ref.namespace, "name": status.ref.name,
                "message": f"{status.ref} {after}: {why}", "why": status.why, "way_out": status.way_out,
                "events": status.events, "log": status.log, "kept": self._kept(status),
            })  # fmt: skip
        return not bad

    def _kept(self, status: Status) -> str:
        before = self.outcome.record.last_deployed
        return f"revision {before} still serves {status.serving}" if before and status.serving else ""

    def _conclude(self, revision: int, digest: str, fresh: bool, ok: bool) -> None:
        outcome, state = self.outcome, "deployed" if self.outcome.failures == [] else "failed"
        before = outcome.record
        keep_old = not ok or any(one.action == "kept" for one in outcome.leaving)
        record = _history.advanced(before, revision, state, digest, self._members(with_leaving=False))
        if keep_old:
            kept = [
                one.member for one in outcome.leaving if one.action == "kept" or (not ok and one.action == "pruned")
            ]
            record = _history.advanced(before, revision, state, digest, [*record.members, *kept])
        if fresh or before.state != state:
            try:
                _history.write(self.cluster, record)
            except ClusterError as error:
                outcome.failures.append({"kind": "Secret", "namespace": record.namespace, "name": record.name,
                                         "message": f"the release's record could not be written: {error.message}",
                                         "way_out": error.way_out})  # fmt: skip
        outcome.record = record if fresh or before.state != state else before
        if ok:
            self.say("release", f"revision {revision} of {self.wish.name} in {self.wish.namespace}")

    def _failed(self) -> bool:
        failed = [step for step in self.outcome.steps if step.error]
        self.outcome.failures += [_plan.failure(step) for step in failed]
        return bool(failed)

    def absent(self) -> Outcome:
        """Delete the members of the release; data stays unless asked for, and the record as long as data does."""
        wish, outcome = self.wish, self.outcome
        outcome.record = _history.read(self.cluster, wish.name, wish.namespace)
        outcome.leaving = _prune.leaving(
            self.cluster, self.discovery, list(outcome.record.members), outcome.record.id,
            delete_data=wish.delete_data, parallelism=wish.parallelism,
        )  # fmt: skip
        kept = [one.member for one in outcome.leaving if one.action == "kept"]
        named = f" ({', '.join(str(one.ref) for one in kept)})" if kept else ""
        self.say("plan", f"{outcome.pruned} to delete, {len(kept)} to keep{named}")
        if wish.check:
            return outcome
        start = time.monotonic()
        with self.timed("prune"):
            _prune.delete(self.cluster, outcome.leaving, parallelism=wish.parallelism)
            self._retire(kept)
        if wish.wait and outcome.pruned:
            with self.timed("wait"):
                outcome.failures += _prune.await_gone(self.cluster, outcome.leaving, wish.wait_timeout)
        if outcome.pruned:
            self.say("delete", f"{outcome.pruned} objects gone  {time.monotonic() - start:.1f} s")
        return outcome

    def _retire(self, kept: list[_history.Member]) -> None:
        """Narrow the record to what is kept, so that a later run finds it; without any the record goes too."""
        before = self.outcome.record
        if not before.revision:
            return
        if not kept:
            self.cluster.delete(_history.path(before.name, before.namespace))
        elif before.state != "uninstalled" or set(kept) != set(before.members):
            record = _history.advanced(before, before.revision, "uninstalled", before.digest, kept)
            _history.write(self.cluster, record)
            self.outcome.record = record


def diff_entries(outcome: Outcome) -> list[dict[str, Any]]:
    """Ansible ``--diff`` entries: owned fields only, before and after, secrets as keyed hashes, only what differs."""
    entries = []
    for step in outcome.steps:
        if step.action == "unchanged" or step.error:
            continue
        header = f"{step.ref} in {step.ref.namespace}" if step.ref.namespace else str(step.ref)
        before, after = (redacted(part, outcome.record.key) for part in (step.visible_before, step.visible_after))
        entries.append({"header": header, "before": before, "after": after, "note": step.note})
    for one in outcome.leaving:
        if one.action == "pruned":
            ref = one.member.ref
            entries.append(
                {"header": str(ref), "before": {"kind": ref.kind, "name": ref.name}, "after": None, "note": "pruned"}
            )
    return entries
