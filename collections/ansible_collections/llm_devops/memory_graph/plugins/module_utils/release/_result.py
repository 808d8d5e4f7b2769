# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The result of the module: an outcome as data, diff and sentences, and its progress as lines of a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..cluster._cluster import Cluster
from ..cluster._kubeconfig import yaml
from ..objects._diff import changes, line
from ..objects._redact import redacted
from ._history import Member
from ._run import Outcome
from ._step import Step

__all__ = ["changed_lines", "entries", "failure_text", "progress_writer", "result", "unified"]


def result(outcome: Outcome, cluster: Cluster, *, check: bool) -> dict[str, Any]:
    actions = [
        {**_named(step), "action": "failed" if step.error else step.action, "note": step.remark}
        for step in outcome.steps
    ]
    actions += [
        {**candidate.member.as_dict(), "action": candidate.action, "note": ""} for candidate in outcome.prune_candidates
    ]
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
    """Return for each object that differs its owned fields before and after, also as lines ``spec.replicas: 3 → 4``.

    Values of Secrets are keyed hashes. A new object has no fields yet; ``object`` is all of it.
    """
    prefix = "will be " if check else ""
    entries: list[dict[str, Any]] = []
    for step, before, after in _differing(outcome):
        entry: dict[str, Any] = {**_named(step), "action": step.action, "note": step.remark}
        if step.action == "created":
            remark = f" ({step.remark})" if step.remark else ""
            entries.append({**entry, "fields": [], "lines": [f"{prefix}created{remark}"], "object": after})
        else:
            fields = changes(before, after)
            entries.append({**entry, "fields": fields, "lines": [line(change) for change in fields]})
    for candidate in outcome.prune_candidates:
        if candidate.action == "pruned":
            entry = {**candidate.member.as_dict(), "action": "pruned", "note": ""}
            since = f"left the release {'after' if check else 'with'} revision {outcome.record.revision}"
            entries.append({**entry, "fields": [], "lines": [f"{prefix}pruned ({since})"]})
    return entries


def _named(step: Step) -> dict[str, str]:
    return Member(str(step.manifest["apiVersion"]), step.ref).as_dict()


def _differing(outcome: Outcome) -> Iterator[tuple[Step, dict[str, Any] | None, dict[str, Any] | None]]:
    """Yield each step that differs, with its owned fields before and after; values of Secrets are keyed hashes."""
    for step in outcome.steps:
        if step.action != "unchanged" and not step.error:
            key = outcome.record.key
            yield step, redacted(step.visible_before, key), redacted(step.visible_after, key)


def entries(outcome: Outcome) -> list[dict[str, Any]]:
    """Return each object that differs as a whole, before and after, cut down to owned fields."""
    result = []
    for step, before, after in _differing(outcome):
        header = f"{step.ref} in {step.ref.namespace}" if step.ref.namespace else str(step.ref)
        result.append({"header": header, "before": before, "after": after, "note": step.remark})
    for candidate in outcome.prune_candidates:
        if candidate.action == "pruned":
            ref = candidate.member.ref
            removed = {"kind": ref.kind, "name": ref.name}
            result.append({"header": str(ref), "before": removed, "after": None, "note": "pruned"})
    return result


def unified(entry: dict[str, Any]) -> dict[str, str]:
    """Return one of the :func:`entries` in Ansible's ``--diff`` format."""
    before, after = (_text(entry[side]) for side in ("before", "after"))
    header = entry["header"] + (f" ({entry['note']})" if entry["note"] else "")
    return {"before_header": header, "after_header": header, "before": before, "after": after}


def _text(obj: dict[str, Any] | None) -> str:
    return str(yaml.safe_dump(obj, sort_keys=False, width=200)) if obj else ""


def failure_text(outcome: Outcome) -> str:
    """Return all failures, each in one sentence and, indented, why and what to try."""
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
    return "\n".join([*blocks, outcome.status])


def progress_writer(path: str | None) -> Callable[[str, str], None]:
    """Return a function ``(label, text)`` that appends a JSON line to a file for the action plugin, or does nothing."""

    def write(label: str, text: str) -> None:
        if path:
            with Path(path).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"label": label, "text": text}) + "\n")

    return write
