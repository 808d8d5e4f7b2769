# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""When HorizontalPodAutoscalers and PodDisruptionBudgets are ready, and why one cannot scale. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence

from .._json import mapping, mappings, text
from ._problem import AUTOSCALER_GRACE_S, WaitProblem
from ._verdict import UNSEEN, Object, Verdict, condition, explanation, observed

CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
"""autoscaling/v1 has no conditions: the API server carries those of v2 in this annotation."""


def autoscaler(obj: Object) -> Verdict:
    obj = as_v2(obj)
    able = condition(obj, "AbleToScale")
    if not able:
        return Verdict("progressing", UNSEEN)
    if able.get("status") != "True":
        return Verdict("progressing", explanation(able, "cannot scale"))
    # without metrics an autoscaler only holds still, and fresh pods have none for a minute
    active, failing = condition(obj, "ScalingActive"), ", ".join(failing_metrics(obj))
    if active.get("status") == "False":
        reason = f"holds still: {text(active, 'reason')}"
        return Verdict("ready", f"{reason} ({failing})" if failing else reason)
    return Verdict("ready", f"scales up only: no value of {failing}" if failing else "scales")


def scale_problem(_obj: Object, verdict: Verdict, _events: Sequence[Object]) -> WaitProblem | None:
    """Return why an autoscaler cannot scale, when its target does not exist."""
    absent = ("not found", "no matches for kind", "could not find the requested resource")
    if not verdict.reason.startswith("FailedGetScale") or not any(phrase in verdict.reason for phrase in absent):
        return None
    why = "what its scaleTargetRef names does not exist"
    return WaitProblem(
        verdict.reason, why, "correct scaleTargetRef, or add its target", AUTOSCALER_GRACE_S, missing=True
    )


def as_v2(obj: Object) -> Object:
    """Return the autoscaler with its conditions where autoscaling/v2 has them."""
    carried = text(obj, "metadata", "annotations", CONDITIONS)
    if mapping(obj, "status").get("conditions") or not carried:
        return obj
    try:
        conditions = json.loads(carried)
    except ValueError:
        return obj
    return {**obj, "status": {**mapping(obj, "status"), "conditions": conditions}}


def failing_metrics(obj: Object) -> list[str]:
    """Return the names of the metrics without a value.

    The controller leaves the type empty in ``status.currentMetrics`` at the position of each metric that it could not
    read; its condition names the first alone, and says nothing while another one works.
    """
    metrics, current = mappings(obj, "spec", "metrics"), mappings(obj, "status", "currentMetrics")
    if len(metrics) != len(current):
        return []
    return [_name(metric) for metric, value in zip(metrics, current, strict=True) if not value.get("type")]


def _name(metric: Object) -> str:
    kind = text(metric, "type")
    source = mapping(metric, kind[:1].lower() + kind[1:])
    return text(source, "name") or text(source, "metric", "name") or kind


def disruption_budget(obj: Object) -> Verdict:
    return Verdict("ready", "") if observed(obj) else Verdict("progressing", UNSEEN)
