# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A release from objects to running: plan, apply, wait, prune, record. Knows nothing of Ansible."""

from __future__ import annotations

import time
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
    _recording,
    _rollback,
    _teardown,
    _unserved,
)
from ._run import Outcome, Progress, ReleaseParams, Run
from ._secret_checksums import SecretChecksums
from ._step import Step

__all__ = ["Outcome", "Release", "ReleaseParams"]

FOUNDATION_TIMEOUT_S = 30.0


class Release(Run):
    """A run that deploys a release, or removes it."""

    def __init__(self, cluster: Cluster, params: ReleaseParams, progress: Progress) -> None:
        super().__init__(cluster, params, progress)
        cluster.on_notice = lambda text: self.say("server", text)
        self._description = ""
        self._namespace_step: Step | None = None

    def absent(self) -> Outcome:
        """Remove the release; see :mod:`_teardown`."""
        return _teardown.absent(self)

    def present(self) -> Outcome:
        """Deploy the release. Failures are in the outcome; only errors that prevent a plan are raised.

        :raises ClusterError: unreachable, not permitted, terminating namespace, malformed objects, no such revision,
            another deployment at work: nothing of the release was written.
        """
        with self.lease:
            with self.timed("plan"):
                objects = self._planned()
            if not self._failed() and not self.params.check:
                self._deploy(objects)
        return self.outcome

    def _planned(self) -> list[Object]:
        params, absent, objects = self.params, set[str](), list[Object]()
        if params.revision is None:
            objects = prepared(params.objects, params.name, params.namespace, warn=lambda text: self.say("note", text))
            absent = absent_namespaces(self.cluster, objects, params.namespace)
        else:  # refused before a lock is asked for in a namespace that may not exist
            _rollback.select_entry(_history.read(self.cluster, params.name, params.namespace), params.revision)
        if params.namespace not in absent:
            if not params.check:
                self.lease.acquire(params.lock_timeout)
            self.outcome.record = _history.read(self.cluster, params.name, params.namespace)
        if params.revision is not None:
            objects = self._of_revision(params.revision)
            absent = absent_namespaces(self.cluster, objects, params.namespace)
        self._set_checksums(objects)
        self._plan(objects, absent)
        return objects

    def _set_checksums(self, objects: list[Object]) -> None:
        for remark in SecretChecksums(self.cluster, objects, self.outcome.record.digest_of).set():
            self.say("note", remark)

    def _of_revision(self, revision: int) -> list[Object]:
        record = self.outcome.record
        source = _rollback.find_source(self.cluster, self.discovery, record, revision, self.params.parallelism)
        self._description = f"rollback to {source.revision}"
        self.say("rollback", f"from revision {record.revision} to the objects of revision {source.revision}")
        for remark in source.notes:
            self.say("note", remark)
        return prepared(source.objects, record.name, record.namespace)

    def _plan(self, objects: list[Object], absent: set[str]) -> None:
        params, outcome, listed = self.params, self.outcome, list[Object]()
        outcome.steps = _plan.plan(
            self.cluster, self.discovery, objects, outcome.record,
            parallelism=params.parallelism, force=params.force_conflicts, absent_namespaces=absent, seen=listed,
            sample=not params.check,
        )  # fmt: skip
        _new_namespace.validate(self.cluster, outcome.steps, absent, params.parallelism)
        members = _prune.members(
            self.cluster, self.discovery, outcome.record, outcome.steps, seen=listed, parallelism=params.parallelism
        )
        removed = _prune.removed_members(members, [step.ref for step in outcome.steps])
        outcome.prune_candidates = _prune.find_candidates(
            self.cluster,
            self.discovery,
            removed,
            outcome.record.id,
            delete_data=params.delete_data,
            parallelism=params.parallelism,
            say=lambda text: self.say("note", text),
        )
        _object_quota.check(self.cluster, outcome.steps, outcome.record, absent, params.parallelism)
        for step in outcome.steps:
            if step.inherits and not step.error:
                self.say("note", f"{step.ref} is taken over from {_ownership.taken_from(step.live)}")
            remark = _adoption.adoption_note(step, outcome.record.id)
            if remark:
                self.say("note", remark)
        if not any(step.error for step in outcome.steps):
            created, changed = outcome.count("created"), outcome.count("configured")
            text = f"{created} to create, {changed} to change, {outcome.pruned} to prune"
            self.say("plan", text if outcome.differs else f"{text} — nothing to do")

    def _deploy(self, objects: list[Object]) -> None:
        outcome = self.outcome
        try:
            if not self.lease.held:
                self._create_namespace(objects)
                if self._failed():
                    return
            before = outcome.record
            digest = before.digest_of(canonical(objects))
            is_new = outcome.differs or before.revision == 0 or before.digest != digest
            if is_new:  # widened first: the next run knows the members of one that is cut off
                _recording.begin(self, digest, objects, self._description)
        except _lease.LeaseHeld:
            raise
        except ClusterError as error:
            self.fail("Secret", record_name(self.params.name), error)
            return
        ok = self._work()
        _recording.conclude(self, digest, is_new or before.state != ("deployed" if ok else "failed"), ok)

    def _work(self) -> bool:
        """Apply, wait and prune; return whether all succeeded."""
        try:
            with self.timed("apply"):
                self._apply()
            ok = not self._failed()
            if ok and self.params.wait:
                with self.timed("wait"):
                    ok = self._wait()
            if ok and self.outcome.pruned:
                with self.timed("prune"):
                    for line in _prune.delete(
                        self.cluster, self.discovery, self.outcome.prune_candidates, parallelism=self.params.parallelism
                    ):
                        self.say("prune", line)
                self.outcome.deleted = self.outcome.pruned
        except ClusterError as error:
            self.fail("Release", self.params.name, error)
            return False
        return ok

    def _create_namespace(self, objects: list[Object]) -> None:
        """Create the namespace that holds record and lock, and nothing else until the lock is ours."""
        outcome, params = self.outcome, self.params
        namespace_step = next(
            step for step in outcome.steps if step.ref.kind == "Namespace" and step.ref.name == params.namespace
        )
        _plan.apply(self.cluster, self.discovery, [namespace_step], parallelism=1, force=params.force_conflicts)
        if namespace_step.error:
            return
        await_all(self.cluster, self.discovery, [namespace_step], FOUNDATION_TIMEOUT_S, self.progress)
        outcome.wrote, self._namespace_step = 1, namespace_step
        self.lease.acquire(params.lock_timeout)
        record = _history.read(self.cluster, params.name, params.namespace)
        outcome.record = (
            record if record.revision else replace(record, key=outcome.record.key)
        )  # checksums are under it
        if outcome.record.revision:  # another first deployment was faster, and is through
            self._namespace_step = None
            self._set_checksums(objects)
            self._plan(objects, absent_namespaces(self.cluster, objects, params.namespace))

    def _apply(self) -> None:
        outcome, start = self.outcome, time.monotonic()
        due = [step for step in outcome.steps if step.due]
        for wave in _waves.split(outcome.steps, lambda step: step.manifest):
            foundation = [step for step in wave if _waves.is_foundation(step.manifest)]
            due_steps = [step for step in wave if step.due and step is not self._namespace_step]
            _plan.apply(
                self.cluster,
                self.discovery,
                due_steps,
                parallelism=self.params.parallelism,
                force=self.params.force_conflicts,
            )
            outcome.wrote += sum(step.action != "unchanged" and not step.error for step in due_steps)
            if any(step.error for step in due_steps):
                return
            if foundation:
                await_all(self.cluster, self.discovery, foundation, FOUNDATION_TIMEOUT_S, self.progress)
                _unserved.await_served(self.discovery, [step.manifest for step in due_steps], FOUNDATION_TIMEOUT_S)
        if outcome.wrote:
            stages = " · ".join(_waves.stages(step.manifest for step in due))
            self.say("apply", f"{stages}  {outcome.wrote}/{len(due)}  {time.monotonic() - start:.1f} s")

    def _wait(self) -> bool:
        outcome, start = self.outcome, time.monotonic()
        outcome.statuses = await_all(
            self.cluster, self.discovery, outcome.steps, self.params.wait_timeout, self.progress
        )
        unready = [status for status in outcome.statuses if status.state == "failed"]
        unready = unready or [status for status in outcome.statuses if status.state != "ready"]  # else the time ran out
        if outcome.differs or unready:
            for status in (status for status in outcome.statuses if status.trail):
                trail = " → ".join(status.trail)
                outcome.report.append({"label": "wait", "text": f"{status.ref}  {trail}  {status.seconds:.1f} s"})
        for status in unready:
            after = f"failed after {time.monotonic() - start:.1f} s"
            why = (
                status.reason
                if status.state == "failed"
                else f"not ready in {self.params.wait_timeout:g} s: {status.reason}"
            )
            self.add_failure({
                "kind": status.ref.kind, "namespace": status.ref.namespace, "name": status.ref.name,
                "message": f"{status.ref} {after}: {why}", "why": status.why, "way_out": status.way_out,
                "events": status.events, "log": status.log, "kept": self._serving_text(status),
            })  # fmt: skip
        return not unready

    def _serving_text(self, status: Status) -> str:
        before = self.outcome.record.last_deployed
        if not before or not status.serving:
            return ""
        parts = [f"revision {before} still serves {status.serving}"]
        if self.outcome.pruned:
            parts.append("nothing was pruned")
        if before != self.outcome.record.revision:
            parts.append(f"rollback: {_recording.rollback_command(self.params, before)}")
        return "; ".join(parts)

    def _failed(self) -> bool:
        failed = [step for step in self.outcome.steps if step.error]
        for step in failed:
            if isinstance(step.error, _lease.LeaseLost):
                self.fail("Lease", record_name(self.params.name), step.error)
            else:
                step.error = _immutable.explained(step) or step.error
                self.add_failure(_plan.failure(step))
        return bool(failed)
