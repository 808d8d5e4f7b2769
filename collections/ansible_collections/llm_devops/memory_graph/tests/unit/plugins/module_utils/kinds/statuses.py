# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Objects with a made status."""

from __future__ import annotations


def custom(api_version="example.dev/v1", kind="Widget", generation=2, **status):
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": "x", "generation": generation},
        "status": status,
    }


def conditions(**states):
    return {
        "conditions": [{"type": key, "status": value, "reason": "R", "message": "m"} for key, value in states.items()]
    }
