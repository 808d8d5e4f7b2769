# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The record of a release during a run: widened before the first write, narrowed to the result at the end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .._errors import ClusterError
from ..objects._manifest import Object, record_name
from . import _history, _lease, _revisions
from ._run import ReleaseParams, Run


def begin(run: Run, digest: str, objects: list[Object], description: str) -> None:
    """Record the new revision as pending, with old and new members, and store its objects."""
    before, outcome = run.outcome.record, run.outcome
    is_resumed = before.state == "pending" and before.digest == digest
    revision = before.revision if is_resumed else before.revision + 1
    parts = _revisions.encoded(objects, before.key)
    user = _lease.user(run.cluster)
    record = _history.advanced(
        before, revision, "pending", digest, _widened(run, before.members), description=description, parts=len(parts),
        deployed_by=" from ".join(part for part in (user, _lease.person()) if part), limit=run.params.history_limit,
    )  # fmt: skip
    uid = _history.write(run.cluster, record)
    outcome.record = record
    _revisions.forget(run.cluster, before, _revisions.dropped(before, record))  # once nothing points there
    problem = "" if parts else "its objects take more room than eight Secrets have"
    try:
        _revisions.store(run.cluster, record, uid, parts)
    except ClusterError as error:
        problem = error.message
    if problem:
        outcome.record = replace(record, parts=0)
        run.say("note", f"revision {revision} will not be one to roll back to: {problem}")


def conclude(run: Run, digest: str, changed: bool, ok: bool) -> None:
    """Narrow the record to the objects that exist; after a failure, to those that may exist."""
    outcome, before = run.outcome, run.outcome.record
    remaining = [
        candidate.member for candidate in outcome.prune_candidates
        if candidate.action == "kept" or (not ok and candidate.action == "pruned")
    ]  # fmt: skip
    stamped = [
        _history.Member(str(step.manifest["apiVersion"]), step.ref, step.stamp(before)) for step in outcome.steps
    ]
    state = "deployed" if ok else "failed"
    last = before.last_deployed
    if not ok and outcome.wrote and last and not any(failure.get("kept") for failure in outcome.failures):
        outcome.next_steps.append(f"Rollback: {rollback_command(run.params, last)}")
    if changed:
        outcome.record = _history.advanced(before, before.revision, state, digest, [*stamped, *remaining])
        try:
            _history.write(run.cluster, outcome.record)
        except ClusterError as error:
            run.fail("Secret", record_name(before.name), error)
            return
    if ok:
        suffix = f" ({outcome.record.description})" if outcome.record.description else ""
        run.say("release", f"revision {before.revision} of {before.name} in {before.namespace}{suffix}")


def rollback_command(params: ReleaseParams, revision: int) -> str:
    command = params.rollback_command or "the release module with revision: {revision}"
    return command.replace("{revision}", str(revision))


def _widened(run: Run, old: Iterable[_history.Member]) -> list[_history.Member]:
    """Return the members of the new revision and those that left, all with the stamps of before."""
    stamps = {member.ref: member.stamp for member in old}
    members = [
        _history.Member(str(step.manifest["apiVersion"]), step.ref, stamps.get(step.ref, ""))
        for step in run.outcome.steps
    ]
    return members + [candidate.member for candidate in run.outcome.prune_candidates if candidate.action != "foreign"]
