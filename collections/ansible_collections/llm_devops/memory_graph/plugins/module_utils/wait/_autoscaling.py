# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""What a HorizontalPodAutoscaler says of itself, in the API version it was read in. Pure."""

from __future__ import annotations

import json
from typing import Any

from .._json import mapping, mappings, text

Object = dict[str, Any]
# autoscaling/v1 has no conditions: the API server carries those of v2 in an annotation.
CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"


def as_v2(autoscaler: Object) -> Object:
    """The autoscaler with its conditions where autoscaling/v2 has them."""
    carried = text(autoscaler, "metadata", "annotations", CONDITIONS)
    if mapping(autoscaler, "status").get("conditions") or not carried:
        return autoscaler
    try:
        conditions = json.loads(carried)
    except ValueError:
        return autoscaler
    return {**autoscaler, "status": {**mapping(autoscaler, "status"), "conditions": conditions}}


def failing_metrics(autoscaler: Object) -> list[str]:
    """Names of the metrics without a value.

    The controller leaves the type empty in ``status.currentMetrics`` at the place of each metric that it could not
    read; its condition names the first alone, and says nothing while another one works.
    """
    metrics, current = mappings(autoscaler, "spec", "metrics"), mappings(autoscaler, "status", "currentMetrics")
    if len(metrics) != len(current):
        return []
    return [_name(metric) for metric, value in zip(metrics, current, strict=True) if not value.get("type")]


def _name(metric: Object) -> str:
    kind = text(metric, "type")
    source = mapping(metric, kind[:1].lower() + kind[1:])
    return text(source, "name") or text(source, "metric", "name") or kind
