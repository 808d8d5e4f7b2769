# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A misspelt variable is named, with the one that was meant."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.llm_devops.memory_graph.plugins.filter.unknown_variables import unknown_variables

SPECS = {"main": {"options": {"demo_replicas": {}, "demo_image": {}}}, "teardown": {"options": {"demo_keep": {}}}}


def test_variables_of_every_entry_point_are_known() -> None:
    assert unknown_variables(["demo_keep", "demo_image"], SPECS, "demo") == []


def test_misspelt_variable_is_named_with_the_nearest() -> None:
    (sentence,) = unknown_variables(["demo_replica", "demo_image"], SPECS, "demo")
    assert sentence == "demo_replica is not a variable of role demo; did you mean demo_replicas?"


def test_variable_near_to_none_says_where_the_list_is() -> None:
    (sentence,) = unknown_variables(["demo_zzzzzzzz"], {"main": {"options": {"a": {}}}}, "demo")
    assert sentence.endswith("; ansible-doc -t role llm_devops.memory_graph.demo lists them")


def test_entry_point_without_options_knows_none() -> None:
    assert len(unknown_variables(["demo_b", "demo_a"], {"main": {}}, "demo")) == 2


def test_specs_that_are_none_are_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="needs the argument_specs of role demo, not list"):
        unknown_variables([], [], "demo")
