# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A release from objects to running: plan, apply, wait, prune, record. Knows nothing of Ansible."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

from .._errors import ClusterError
from ..cluster._cluster import Cluster
from ..kinds import _waves
from ..objects import _ownership
from ..objects._manifest import Object, canonical, prepared, record_name
from ..objects._namespaces import absent_namespaces
from ..wait._status import Status
from ..wait._wait import await_all
from . import (
    _adoption,
    _history,
    _immutable,
    _lease,
    _new_namespace,
    _object_quota,
    _plan,
    _prune,
    _revisions,
    _rollback,
    _teardown,
    _unserved,
)
from ._run import Outcome, Progress, Run, Wish
from ._secret_checksums import SecretChecksums
from ._step import Step

__all__ = ["Outcome", "Release", "Wish"]

FOUNDATION_TIMEOUT_S = 30.0


class Release(Run):
    """A run that brings a release about, or takes it away."""

    def __init__(self, cluster: Cluster, wish: Wish, progress: Progress) -> None:
        super().__init__(cluster, wish, progress)
        cluster.on_notice = lambda text: self.say("server", text)
        self._note = ""
        self._home: Step | None = None

    def absent(self) -> Outcome:
        """Take the release away; see :mod:`_teardown`."""
        return _teardown.absent(self)

    def present(self) -> Outcome:
        """Bring the release about. Failures are in the outcome; only what prevents a plan is raised.

        :raises ClusterError: unreachable, not permitted, terminating namespace, malformed objects, no such revision,
            another deployment at work: nothing of the release was written.
        """
        with self.lease:
            with self.timed("plan"):
                objects = self._planned()
            if not self._failed() and not self.wish.check:
                self._bring_about(objects)
        return self.outcome

    def _planned(self) -> list[Object]:
        wish, absent, objects = self.wish, set[str](), list[Object]()
        if wish.revision is None:
            objects = prepared(wish.objects, wish.name, wish.namespace, note=lambda text: self.say("note", text))
            absent = absent_namespaces(self.cluster, objects, wish.namespace)
        else:  # refused before a lock is asked for in a namespace that may not exist
            _rollback.chosen(_history.read(self.cluster, wish.name, wish.namespace), wish.revision)
        if wish.namespace not in absent:
            if not wish.check:
                self.lease.acquire(wish.lock_timeout)
            self.outcome.record = _history.read(self.cluster, wish.name, wish.namespace)
        if wish.revision is not None:
            objects = self._of_revision(wish.revision)
            absent = absent_namespaces(self.cluster, objects, wish.namespace)
        self._set_checksums(objects)
        self._plan(objects, absent)
        return objects

    def _set_checksums(self, objects: list[Object]) -> None:
        for note in SecretChecksums(self.cluster, objects, self.outcome.record.digest_of).set():
            self.say("note", note)

    def _of_revision(self, wanted: int) -> list[Object]:
        record = self.outcome.record
        found = _rollback.source(self.cluster, self.discovery, record, wanted, self.wish.parallelism)
        self._note = f"rollback to {found.revision}"
        self.say("rollback", f"from revision {record.revision} to the objects of revision {found.revision}")
        for note in found.notes:
            self.say("note", note)
        return prepared(found.objects, record.name, record.namespace)

    def _plan(self, objects: list[Object], absent: set[str]) -> None:
        wish, outcome, seen = self.wish, self.outcome, list[Object]()
        outcome.steps = _plan.plan(
            self.cluster, self.discovery, objects, outcome.record,
            parallelism=wish.parallelism, force=wish.force_conflicts, absent_namespaces=absent, seen=seen,
            sample=not wish.check,
        )  # fmt: skip
        _new_namespace.validate(self.cluster, outcome.steps, absent, wish.parallelism)
        members = _prune.members(
            self.cluster, self.discovery, outcome.record, outcome.steps, seen=seen, parallelism=wish.parallelism
        )
        gone = _prune.left(members, [step.ref for step in outcome.steps])
        outcome.leaving = _prune.leaving(
            self.cluster,
            self.discovery,
            gone,
            outcome.record.id,
            delete_data=wish.delete_data,
            parallelism=wish.parallelism,
            say=lambda text: self.say("note", text),
        )
        _object_quota.check(self.cluster, outcome.steps, outcome.record, absent, wish.parallelism)
        for step in outcome.steps:
            if step.inherits and not step.error:
                self.say("note", f"{step.ref} is taken over from {_ownership.taken_from(step.live)}")
            stays = _adoption.note(step, outcome.record.id)
            if stays:
                self.say("note", stays)
        if not any(step.error for step in outcome.steps):
            created, changed = outcome.count("created"), outcome.count("configured")
            text = f"{created} to create, {changed} to change, {outcome.pruned} to prune"
            self.say("plan", text if outcome.differs else f"{text} — nothing to do")

    def _bring_about(self, objects: list[Object]) -> None:
        outcome = self.outcome
        try:
            if not self.lease.held:
                self._open_home(objects)
                if self._failed():
                    return
            before = outcome.record
            digest = before.digest_of(canonical(objects))
            fresh = outcome.differs or before.revision == 0 or before.digest != digest
            if fresh:  # widened first: what a run leaves that is cut off is known to the next one
                self._widen(digest, objects)
        except _lease.Held:
            raise
        except ClusterError as error:
            self.fail("Secret", record_name(self.wish.name), error)
            return
        ok = self._work()
        self._conclude(digest, fresh or before.state != ("deployed" if ok else "failed"), ok)

    def _work(self) -> bool:
        """Apply, wait, prune; whether all went well."""
        try:
            with self.timed("apply"):
                self._apply()
            ok = not self._failed()
            if ok and self.wish.wait:
                with self.timed("wait"):
                    ok = self._wait()
            if ok and self.outcome.pruned:
                with self.timed("prune"):
                    for line in _prune.delete(
                        self.cluster, self.discovery, self.outcome.leaving, parallelism=self.wish.parallelism
                    ):
                        self.say("prune", line)
                self.outcome.deleted = self.outcome.pruned
        except ClusterError as error:
            self.fail("Release", self.wish.name, error)
            return False
        return ok

    def _open_home(self, objects: list[Object]) -> None:
        """Make the namespace that holds record and lock, and nothing else until the lock is ours."""
        outcome, wish = self.outcome, self.wish
        home = next(step for step in outcome.steps if step.ref.kind == "Namespace" and step.ref.name == wish.namespace)
        _plan.apply(self.cluster, self.discovery, [home], parallelism=1, force=wish.force_conflicts)
        if home.error:
            return
        await_all(self.cluster, self.discovery, [home], FOUNDATION_TIMEOUT_S, self.progress)
        outcome.wrote, self._home = 1, home
        self.lease.acquire(wish.lock_timeout)
        record = _history.read(self.cluster, wish.name, wish.namespace)
        outcome.record = (
            record if record.revision else replace(record, key=outcome.record.key)
        )  # checksums are under it
        if outcome.record.revision:  # another first deployment was faster, and is through
            self._home = None
            self._set_checksums(objects)
            self._plan(objects, absent_namespaces(self.cluster, objects, wish.namespace))

    def _widen(self, digest: str, objects: list[Object]) -> None:
        """Record the new revision as pending, with old and new members, and keep its objects."""
        before, outcome = self.outcome.record, self.outcome
        goes_on = before.state == "pending" and before.digest == digest
        revision = before.revision if goes_on else before.revision + 1
        parts = _revisions.encoded(objects, before.key)
        user = _lease.user(self.cluster)
        record = _history.advanced(
            before, revision, "pending", digest, self._members(before.members), note=self._note, parts=len(parts),
            who=" from ".join(part for part in (user, _lease.person()) if part), limit=self.wish.history_limit,
        )  # fmt: skip
        uid = _history.write(self.cluster, record)
        outcome.record = record
        _revisions.forget(self.cluster, before, _revisions.dropped(before, record))  # once nothing points there
        trouble = "" if parts else "its objects take more room than eight Secrets have"
        try:
            _revisions.keep(self.cluster, record, uid, parts)
        except ClusterError as error:
            trouble = error.message
        if trouble:
            outcome.record = replace(record, parts=0)
            self.say("note", f"revision {revision} will not be one to roll back to: {trouble}")

    def _members(self, old: Iterable[_history.Member] | None = None) -> list[_history.Member]:
        """Members of the new revision; with ``old`` also those that left, all of them with the stamps of before."""
        record, stamps = self.outcome.record, {item.ref: item.stamp for item in old or ()}
        members = [
            _history.Member(str(step.manifest["apiVersion"]), step.ref,
                            stamps.get(step.ref, "") if old is not None else step.stamp(record))
            for step in self.outcome.steps
        ]  # fmt: skip
        return members + (
            [one.member for one in self.outcome.leaving if one.action != "foreign"] if old is not None else []
        )

    def _apply(self) -> None:
        outcome, start = self.outcome, time.monotonic()
        todo = [step for step in outcome.steps if step.due]
        for wave in _waves.split(outcome.steps, lambda step: step.manifest):
            foundation = [step for step in wave if step.ref.kind in _waves.FOUNDATION]
            sent = [step for step in wave if step.due and step is not self._home]
            _plan.apply(
                self.cluster, self.discovery, sent, parallelism=self.wish.parallelism, force=self.wish.force_conflicts
            )
            outcome.wrote += sum(step.action != "unchanged" and not step.error for step in sent)
            if any(step.error for step in sent):
                return
            if foundation:
                await_all(self.cluster, self.discovery, foundation, FOUNDATION_TIMEOUT_S, self.progress)
                _unserved.await_served(self.discovery, [step.manifest for step in sent], FOUNDATION_TIMEOUT_S)
        if outcome.wrote:
            stages = " · ".join(_waves.stages(step.ref.kind for step in todo))
            self.say("apply", f"{stages}  {outcome.wrote}/{len(todo)}  {time.monotonic() - start:.1f} s")

    def _wait(self) -> bool:
        outcome, start = self.outcome, time.monotonic()
        outcome.statuses = await_all(self.cluster, self.discovery, outcome.steps, self.wish.wait_timeout, self.progress)
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
            self.add_failure({
                "kind": status.ref.kind, "namespace": status.ref.namespace, "name": status.ref.name,
                "message": f"{status.ref} {after}: {why}", "why": status.why, "way_out": status.way_out,
                "events": status.events, "log": status.log, "kept": self._kept(status),
            })  # fmt: skip
        return not bad

    def _kept(self, status: Status) -> str:
        before = self.outcome.record.last_deployed
        if not before or not status.serving:
            return ""
        parts = [f"revision {before} still serves {status.serving}"]
        if self.outcome.pruned:
            parts.append("nothing was pruned")
        if before != self.outcome.record.revision:
            parts.append(f"rollback: {self._rollback_to(before)}")
        return "; ".join(parts)

    def _rollback_to(self, revision: int) -> str:
        command = self.wish.rollback_command or "the release module with revision: {revision}"
        return command.replace("{revision}", str(revision))

    def _conclude(self, digest: str, changed: bool, ok: bool) -> None:
        """Narrow the record to what there is; after a failure, to what there may be."""
        outcome, before = self.outcome, self.outcome.record
        remain = [one.member for one in outcome.leaving if one.action == "kept" or (not ok and one.action == "pruned")]
        members = [*self._members(), *remain]
        state = "deployed" if ok else "failed"
        last = before.last_deployed
        if not ok and outcome.wrote and last and not any(failure.get("kept") for failure in outcome.failures):
            outcome.ways_on.append(f"Rollback: {self._rollback_to(last)}")
        if changed:
            outcome.record = _history.advanced(before, before.revision, state, digest, members)
            try:
                _history.write(self.cluster, outcome.record)
            except ClusterError as error:
                self.fail("Secret", record_name(before.name), error)
                return
        if ok:
            note = f" ({outcome.record.note})" if outcome.record.note else ""
            self.say("release", f"revision {before.revision} of {before.name} in {before.namespace}{note}")

    def _failed(self) -> bool:
        failed = [step for step in self.outcome.steps if step.error]
        for step in failed:
            if isinstance(step.error, _lease.Lost):
                self.fail("Lease", record_name(self.wish.name), step.error)
            else:
                step.error = _immutable.explained(step) or step.error
                self.add_failure(_plan.failure(step))
        return bool(failed)
