# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The teardown of a release: its members are deleted, its data and history stay unless told otherwise."""

from __future__ import annotations

import time

from .._errors import ApiError
from ..objects._manifest import Ref
from . import _history, _prune, _revisions
from ._run import Outcome, Run


def absent(run: Run) -> Outcome:
    """Delete the members of the release. Data stays unless ``delete_data``, and the record as long as data does.

    :raises ClusterError: unreachable, not permitted, another deployment at work.
    """
    with run.lease:
        return _absent(run)


def _absent(run: Run) -> Outcome:
    params, outcome = run.params, run.outcome
    outcome.record = _history.read(run.cluster, params.name, params.namespace)
    if (outcome.record.revision or outcome.record.hints.kinds) and not params.check:
        _lock_to_delete(run)
        outcome.record = _history.read(run.cluster, params.name, params.namespace)
    members = _prune.members(run.cluster, run.discovery, outcome.record, (), seen=(), parallelism=params.parallelism)
    outcome.prune_candidates = _prune.find_candidates(
        run.cluster, run.discovery, members, outcome.record.id,
        delete_data=params.delete_data, parallelism=params.parallelism, say=lambda text: run.say("note", text),
    )  # fmt: skip
    remaining = [candidate.member for candidate in outcome.prune_candidates if candidate.action == "kept"]
    named = f" ({', '.join(str(candidate.ref) for candidate in remaining)})" if remaining else ""
    run.say("plan", f"{outcome.pruned} to delete, {len(remaining)} to keep{named}")
    if params.check:
        return outcome
    start = time.monotonic()
    with run.timed("prune"):
        _prune.delete(run.cluster, run.discovery, outcome.prune_candidates, parallelism=params.parallelism)
        _retire(run, remaining)
    outcome.deleted = outcome.pruned
    if params.wait and outcome.pruned:
        with run.timed("wait"):
            for failure in _prune.await_gone(run.cluster, outcome.prune_candidates, params.wait_timeout):
                run.add_failure(failure)
    if outcome.pruned:
        run.say("delete", f"{outcome.pruned} objects gone  {time.monotonic() - start:.1f} s")
    return outcome


def _lock_to_delete(run: Run) -> None:
    try:
        run.lease.acquire(run.params.lock_timeout)
    except ApiError as error:  # nothing can be deployed any more where nothing can be created
        if not any(cause.get("reason") == "NamespaceTerminating" for cause in error.causes):
            raise


def _retire(run: Run, remaining: list[_history.Member]) -> None:
    """Narrow the record to the remaining members, so that a later run finds them; delete it without any."""
    before, namespace = run.outcome.record, Ref("", "Namespace", "", run.params.namespace)
    if not before.revision or any(
        candidate.member.ref == namespace and candidate.action == "pruned" for candidate in run.outcome.prune_candidates
    ):
        return  # the namespace takes the record with it
    if not remaining:
        _revisions.forget(run.cluster, before, before.revisions)
        run.cluster.delete(_history.path(before.name, before.namespace))
    elif before.state != "uninstalled" or set(remaining) != set(before.members):
        record = _history.advanced(before, before.revision, "uninstalled", before.digest, remaining)
        _history.write(run.cluster, record)
        run.outcome.record = record
