# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""An outcome as the module's result: data, diff and sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..cluster._cluster import Cluster
from ..cluster._kubeconfig import yaml
from ..objects._diff import changes, line
from ..objects._redact import redacted
from ._history import Member
from ._run import Outcome
from ._step import Step

__all__ = ["changed_lines", "entries", "failure_text", "result", "unified"]


def result(outcome: Outcome, cluster: Cluster, *, check: bool) -> dict[str, Any]:
    actions = [
        {**_named(step), "action": "failed" if step.error else step.action, "note": step.note} for step in outcome.steps
    ]
    actions += [{**one.member.as_dict(), "action": one.action, "note": ""} for one in outcome.leaving]
    return {
        "changed": outcome.differs and (check or outcome.written or outcome.pruned > 0),
        "actions": actions,
        "summary": {
            "created": outcome.count("created"), "changed": outcome.count("configured"),
            "unchanged": outcome.count("unchanged"), "pruned": outcome.pruned,
        },
        "statuses": [status.as_dict() for status in outcome.statuses],
        "failures": outcome.failures,
        "revision": outcome.record.revision,
        "timings": outcome.timings,
        "api_calls": cluster.api_calls,
        "report": outcome.report,
    }  # fmt: skip


def changed_lines(outcome: Outcome, *, check: bool = False) -> list[dict[str, Any]]:
    """Per object that differs: the owned fields before and after, and the same as lines ``spec.replicas: 3 → 4``.

    Values of Secrets are keyed hashes. A new object has no fields yet; ``object`` is all of it.
    """
    done = "will be " if check else ""
    found: list[dict[str, Any]] = []
    for step, before, after in _differing(outcome):
        entry: dict[str, Any] = {**_named(step), "action": step.action, "note": step.note}
        if step.action == "created":
            note = f" ({step.note})" if step.note else ""
            found.append({**entry, "fields": [], "lines": [f"{done}created{note}"], "object": after})
        else:
            fields = changes(before, after)
            found.append({**entry, "fields": fields, "lines": [line(change) for change in fields]})
    for one in outcome.leaving:
        if one.action == "pruned":
            entry = {**one.member.as_dict(), "action": "pruned", "note": ""}
            since = f"left the release {'after' if check else 'with'} revision {outcome.record.revision}"
            found.append({**entry, "fields": [], "lines": [f"{done}pruned ({since})"]})
    return found


def _named(step: Step) -> dict[str, str]:
    return Member(str(step.manifest["apiVersion"]), step.ref).as_dict()


def _differing(outcome: Outcome) -> Iterator[tuple[Step, dict[str, Any] | None, dict[str, Any] | None]]:
    """Each step that differs, with its owned fields before and after; values of Secrets are keyed hashes."""
    for step in outcome.steps:
        if step.action != "unchanged" and not step.error:
            key = outcome.record.key
            yield step, redacted(step.visible_before, key), redacted(step.visible_after, key)


def entries(outcome: Outcome) -> list[dict[str, Any]]:
    """What differs as whole objects, before and after, cut down to owned fields."""
    found = []
    for step, before, after in _differing(outcome):
        header = f"{step.ref} in {step.ref.namespace}" if step.ref.namespace else str(step.ref)
        found.append({"header": header, "before": before, "after": after, "note": step.note})
    for one in outcome.leaving:
        if one.action == "pruned":
            ref = one.member.ref
            gone = {"kind": ref.kind, "name": ref.name}
            found.append({"header": str(ref), "before": gone, "after": None, "note": "pruned"})
    return found


def unified(entry: dict[str, Any]) -> dict[str, str]:
    """One of the :func:`entries` in Ansible's ``--diff`` format."""
    before, after = (_text(entry[side]) for side in ("before", "after"))
    header = entry["header"] + (f" ({entry['note']})" if entry["note"] else "")
    return {"before_header": header, "after_header": header, "before": before, "after": after}


def _text(obj: dict[str, Any] | None) -> str:
    return str(yaml.safe_dump(obj, sort_keys=False, width=200)) if obj else ""


def failure_text(outcome: Outcome) -> str:
    """All failures, each one sentence and, indented, why and what to try."""
    blocks = []
    for failure in outcome.failures:
        name = f"{failure['kind']}/{failure['name']}"
        head = failure["message"] if name in failure["message"] else f"{name}: {failure['message']}"
        rows = [head]
        for label, text in (("why", failure.get("why")), ("try", failure.get("way_out"))):
            if text:
                rows.append(f"  {label:<8} {text}")
        if failure.get("kept"):
            rows.append(f"  kept     {failure['kept']}")
        rows += [f"  event    {event}" for event in (failure.get("events") or [])[-3:]]
        rows += [f"  log      {entry}" for entry in (failure.get("log") or [])[-5:]]
        blocks.append("\n".join(rows))
    return "\n".join([*blocks, outcome.standing])
