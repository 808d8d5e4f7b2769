# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Arguments that are quantities are refused by the name of the variable and the key below it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.llm_devops.memory_graph.plugins.plugin_utils.quantities import faults

FORM = "write a number, with a unit of Kubernetes where it has one, as 10Gi, 500M, 250m or 2"


@pytest.mark.parametrize(
    ("value", "output"),
    [
        ("lots", ["demo is 'lots', which is no quantity"]),
        ("", ["demo is '', which is no quantity"]),
        ("-1Gi", ["demo is '-1Gi', which is negative"]),
        (
            {"requests": {"cpu": "1OOm", "memory": "1Gi"}, "limits": {"cpu": True}},
            [
                "demo.requests.cpu is '1OOm', which is no quantity",
                "demo.limits.cpu is a truth value, which is no quantity",
            ],
        ),
        ("100Gi", []), (1, []), (0.5, []), (None, []), ({}, []), ({"requests": {"cpu": None}}, []),
    ],
)  # fmt: skip
def test_what_is_no_quantity_is_named(value, output) -> None:
    assert list(faults("demo", value)) == [f"{item}: {FORM}" for item in output]


@pytest.mark.parametrize("role", ["memory_graph", "neo4j", "kafka"])
def test_every_argument_that_looks_like_one_is_checked(role) -> None:
    """A size that a role gets and does not check would be refused by the name of an object that nobody wrote."""
    folder = Path(__file__).parents[4] / "roles" / role
    spec = yaml.safe_load((folder / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    ours = ("_storage_size", "_plugins_size", "_resources", "_quota", "_limits")
    names = {name for name in spec if name.endswith(ours)}
    variables = {}
    for file in (folder / "vars/main").iterdir():
        variables |= yaml.safe_load(file.read_text())
    assert set(variables[f"__{role}_quantities"]) == names
