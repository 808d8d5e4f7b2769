# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The role workload reads the old names of its suboptions."""

from __future__ import annotations

from typing import Any

from ansible_collections.llm_devops.memory_graph.plugins.plugin_utils.renamed_options import RENAMED
from ansible_collections.llm_devops.memory_graph.plugins.plugin_utils.role_spec import RoleSpec
from ansible_collections.llm_devops.memory_graph.tests.unit.plugins.filter.roles_of_the_collection import ROLES

RULES = {"period_seconds": 30, "window_seconds": 60, "policies": [{"type": "Percent", "value": 100}]}
WORKLOAD = {"name": "gateway", "component": "api", "image": "gateway:1", "service_account": "gateway", "resources": {}}
OLD = {
    "apart_from": {"app": "gateway"},
    "mount_token": "yes",
    "volumes": [{"name": "tls", "mount_path": "/tls", "secret": "tls", "entries": "ca.crt"}],
    "autoscaling": {
        "least": "3",
        "most": 10,
        "metrics": [{"resource": "cpu", "average": 70}],
        "up": RULES,
        "down": RULES,
    },
}
NEW = {
    "pod_anti_affinity": {"app": "gateway"},
    "automount_service_account_token": True,
    "volumes": [{"name": "tls", "mount_path": "/tls", "secret": "tls", "items": ["ca.crt"]}],
    "autoscaling": {
        "min_replicas": 3,
        "max_replicas": 10,
        "metrics": [{"resource": "cpu", "average_value": "70"}],
        "scale_up": RULES,
        "scale_down": RULES,
    },
}


def converted(**workload: Any) -> tuple[dict[str, Any], list[str], list[str]]:
    spec = RoleSpec.of(ROLES / "workload")
    variables = {"workload_namespace": "a", "workload_release": "r", "workload_list": [WORKLOAD | workload]}
    arguments, problems = spec.converted("main", variables)
    return arguments, problems, spec.renamed


def test_old_names_are_read_and_told() -> None:
    old, problems, renamed = converted(**OLD)
    assert problems == []
    new, _problems, none = converted(**NEW)
    assert old == new
    assert none == []
    assert len(renamed) == len(RENAMED["workload"])
    assert "workload_list[0].volumes[0].entries is called items now" in renamed


def test_an_autoscaler_names_how_many_pods_there_are_at_least() -> None:
    without = {name: value for name, value in NEW["autoscaling"].items() if name != "min_replicas"}
    _arguments, problems, _renamed = converted(autoscaling=without)
    assert any("one of the following is required: min_replicas, least" in problem for problem in problems)
