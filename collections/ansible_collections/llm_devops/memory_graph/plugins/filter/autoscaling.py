# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.
"""Filters: what a HorizontalPodAutoscaler measures and how fast it scales."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any


def autoscaling_metrics(metrics: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the metrics of an autoscaler as Kubernetes writes them."""
    return [_resource(metric) if metric.get("resource") else _external(metric) for metric in metrics]


def _resource(metric: Mapping[str, Any]) -> dict[str, Any]:
    target = {"type": "Utilization", "averageUtilization": int(metric["average_value"])}
    return {"type": "Resource", "resource": {"name": metric["resource"], "target": target}}


def _external(metric: Mapping[str, Any]) -> dict[str, Any]:
    selector = {"selector": {"matchLabels": metric["labels"]}} if metric.get("labels") else {}
    target = {"type": "AverageValue", "averageValue": metric["average_value"]}
    return {"type": "External", "external": {"metric": {"name": metric["external"], **selector}, "target": target}}


def autoscaling_rules(rules: Mapping[str, Any]) -> dict[str, Any]:
    """Return how fast an autoscaler scales one way, for ``behavior.scaleUp`` or ``behavior.scaleDown``."""
    return {
        "stabilizationWindowSeconds": rules["window_seconds"],
        "selectPolicy": rules["select"],
        "policies": [{**policy, "periodSeconds": rules["period_seconds"]} for policy in rules["policies"]],
    }


class FilterModule:
    """The filters by their names."""

    def filters(self) -> dict[str, Callable[..., object]]:
        return {"autoscaling_metrics": autoscaling_metrics, "autoscaling_rules": autoscaling_rules}
