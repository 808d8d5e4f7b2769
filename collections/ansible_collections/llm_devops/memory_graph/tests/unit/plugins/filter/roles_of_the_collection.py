# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The arguments of the collection's roles, checked as the action ``role_arguments`` checks them, without Ansible."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.llm_devops.memory_graph.plugins.filter.kafka_problems import kafka_problems
from ansible_collections.llm_devops.memory_graph.plugins.filter.memory_graph_problems import memory_graph_problems
from ansible_collections.llm_devops.memory_graph.plugins.filter.neo4j_problems import neo4j_problems
from ansible_collections.llm_devops.memory_graph.plugins.plugin_utils.quantities import faults
from ansible_collections.llm_devops.memory_graph.plugins.plugin_utils.role_spec import RoleSpec

ROLES = Path(__file__).resolve().parents[4] / "roles"
CROSS_FIELD = {"memory_graph": memory_graph_problems, "neo4j": neo4j_problems, "kafka": kafka_problems}


def arguments(role: str, entry_point: str = "arguments", **variables: Any) -> dict[str, Any]:
    """Return the converted arguments by their names without the prefix of the role; they must be good."""
    converted, problems = _converted(role, entry_point, variables)
    assert problems == []
    return {name.removeprefix(f"{role}_"): value for name, value in converted.items()}


def refusal(role: str, entry_point: str = "arguments", **variables: Any) -> str:
    """Return what the role says about variables that it refuses, as it is shown."""
    if unknown := _spec(role).unknown(variables):
        return " ".join(unknown)
    converted, problems = _converted(role, entry_point, variables)
    if not problems:
        problems = [problem for name in _quantities(role) for problem in faults(name, converted[name])]
        problems += CROSS_FIELD[role]({name.removeprefix(f"{role}_"): value for name, value in converted.items()})
    return " — ".join(problems)


@cache
def _spec(role: str) -> RoleSpec:
    return RoleSpec.of(ROLES / role)


@cache
def _defaults(role: str) -> dict[str, Any]:
    return dict(yaml.safe_load((ROLES / role / "defaults/main.yml").read_text()))


def _converted(role: str, entry_point: str, variables: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    defaults = dict(_defaults(role))
    if role == "memory_graph":  # the one default that is a template
        defaults["memory_graph_replicas"] = 3 if variables.get("memory_graph_store") == "neo4j" else 1
    values = {name: value for name, value in variables.items() if value is not None}
    return _spec(role).converted(entry_point, defaults | values)


@cache
def _quantities(role: str) -> list[str]:
    for file in (ROLES / role / "vars/main").glob("*.yml"):
        if names := yaml.safe_load(file.read_text()).get(f"__{role}_quantities"):
            return list(names)
    return []
