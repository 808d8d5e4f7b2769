# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A release taken away: its members deleted, its data and the memory of it kept unless told otherwise."""

from __future__ import annotations

import time

from .._errors import ApiError
from ..objects._manifest import Ref
from . import _history, _prune, _revisions
from ._run import Outcome, Run


def absent(run: Run) -> Outcome:
    """Delete the members of the release; data stays unless asked for, and the record as long as data does.

    :raises ClusterError: unreachable, not permitted, another deployment at work.
    """
    with run.lease:
        return _absent(run)


def _absent(run: Run) -> Outcome:
    wish, outcome = run.wish, run.outcome
    outcome.record = _history.read(run.cluster, wish.name, wish.namespace)
    if (outcome.record.revision or outcome.record.hints.kinds) and not wish.check:
        _lock_to_delete(run)
        outcome.record = _history.read(run.cluster, wish.name, wish.namespace)
    members = _prune.members(run.cluster, run.discovery, outcome.record, (), seen=(), parallelism=wish.parallelism)
    outcome.leaving = _prune.leaving(
        run.cluster, run.discovery, members, outcome.record.id,
        delete_data=wish.delete_data, parallelism=wish.parallelism, say=lambda text: run.say("note", text),
    )  # fmt: skip
    kept = [one.member for one in outcome.leaving if one.action == "kept"]
    named = f" ({', '.join(str(one.ref) for one in kept)})" if kept else ""
    run.say("plan", f"{outcome.pruned} to delete, {len(kept)} to keep{named}")
    if wish.check:
        return outcome
    start = time.monotonic()
    with run.timed("prune"):
        _prune.delete(run.cluster, run.discovery, outcome.leaving, parallelism=wish.parallelism)
        _retire(run, kept)
    outcome.deleted = outcome.pruned
    if wish.wait and outcome.pruned:
        with run.timed("wait"):
            for failure in _prune.await_gone(run.cluster, outcome.leaving, wish.wait_timeout):
                run.add_failure(failure)
    if outcome.pruned:
        run.say("delete", f"{outcome.pruned} objects gone  {time.monotonic() - start:.1f} s")
    return outcome


def _lock_to_delete(run: Run) -> None:
    try:
        run.lease.acquire(run.wish.lock_timeout)
    except ApiError as error:  # nothing can be deployed any more where nothing can be created
        if not any(cause.get("reason") == "NamespaceTerminating" for cause in error.causes):
            raise


def _retire(run: Run, kept: list[_history.Member]) -> None:
    """Narrow the record to what is kept, so that a later run finds it; without any the record goes too."""
    before, home = run.outcome.record, Ref("", "Namespace", "", run.wish.namespace)
    if not before.revision or any(one.member.ref == home and one.action == "pruned" for one in run.outcome.leaving):
        return  # the namespace takes the record with it
    if not kept:
        _revisions.forget(run.cluster, before, before.revisions)
        run.cluster.delete(_history.path(before.name, before.namespace))
    elif before.state != "uninstalled" or set(kept) != set(before.members):
        record = _history.advanced(before, before.revision, "uninstalled", before.digest, kept)
        _history.write(run.cluster, record)
        run.outcome.record = record
