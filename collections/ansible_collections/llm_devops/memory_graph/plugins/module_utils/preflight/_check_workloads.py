# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Refuses to replace a workload by one of another kind: both would serve, and the old data stays."""

from __future__ import annotations

from ..objects._manifest import Ref, ref
from ..release import _history
from ._context import PreflightContext

_LASTING = frozenset({"Deployment", "StatefulSet", "DaemonSet"})


def workloads(context: PreflightContext) -> None:
    """:raises ClusterError: when the record is another tool's or cannot be understood."""
    if context.namespace in context.absent:
        return
    record = context.read(_history.path(context.release, context.namespace), "what the release consists of")
    if not record:
        return
    members = [member.ref for member in _history.parsed(record, context.release, context.namespace).members]
    coming = [ref(item) for item in context.objects]
    left_behind = ", ".join(
        str(member) for member in members if member.kind == "PersistentVolumeClaim" and member not in coming
    )
    for new in (member for member in coming if member.kind in _LASTING):
        for old in (member for member in members if _succeeds(new, member) and member not in coming):
            behind = f", and {left_behind} would be left behind" if left_behind else ""
            context.add_problem(
                f"{old} is of this release and {new} would take its place: both would answer for a while{behind}",
                "take the release away first, which keeps its data (playbooks/teardown.yml), move the data"
                " (memory-graph migrate), and deploy again",
            )


def _succeeds(new: Ref, old: Ref) -> bool:
    return old.kind in _LASTING and old.kind != new.kind and (old.namespace, old.name) == (new.namespace, new.name)
