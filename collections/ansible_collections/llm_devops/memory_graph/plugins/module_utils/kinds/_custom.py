# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""When custom resources are ready, by the conventions of kstatus (sigs.k8s.io/cli-utils). Pure.

These are ``status.observedGeneration``, and the conditions ``Ready``, ``Available``, ``Reconciling`` and ``Stalled``.
A status of another shape says nothing.
"""

from __future__ import annotations

from .._json import integer, mapping
from ._verdict import UNSEEN, Object, Verdict, condition, explanation


def by_conditions(obj: Object) -> Verdict:
    """The verdict by an object's conditions; one that has none is ready."""
    return _by_conditions(obj, Verdict("ready", ""))


def by_required_conditions(obj: Object) -> Verdict:
    """The verdict where the operator writes Ready on every object: none yet means that it has not seen this one."""
    return _by_conditions(obj, Verdict("progressing", UNSEEN))


def _by_conditions(obj: Object, without: Verdict) -> Verdict:
    generation = integer(obj, "metadata", "generation")
    if _outdated(mapping(obj, "status"), generation):
        return Verdict("progressing", UNSEEN)
    stalled, reconciling = condition(obj, "Stalled"), condition(obj, "Reconciling")
    if stalled.get("status") == "True":
        return Verdict("failed", explanation(stalled, "stalled"))
    if reconciling.get("status") == "True":
        return Verdict("progressing", explanation(reconciling, "reconciling"))
    settled = condition(obj, "Ready") or condition(obj, "Available")
    if not settled:
        return without
    if settled.get("observedGeneration") and _outdated(settled, generation):
        return Verdict("progressing", UNSEEN)
    if settled.get("status") == "True":
        return Verdict("ready", "")
    return Verdict("progressing", explanation(settled, "not ready"))


def _outdated(part: Object, generation: int) -> bool:
    """Whether a status or condition names an earlier generation; one that is no number, such as a hash, names none."""
    return integer(part, "observedGeneration", default=generation) < generation
