# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Everything counts that an argument spec says, also what ansible-core does not read beside the options of a role."""

from __future__ import annotations

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.plugin_utils.role_spec import RoleSpec

OPTIONS = {
    "demo_mode": {"type": "str", "choices": ["single", "external"], "default": "single"},
    "demo_uri": {"type": "str", "default": ""},
    "demo_hosts": {"type": "list", "elements": "str", "default": []},
    "demo_folder": {"type": "path", "required": True},
    "demo_key": {"type": "str", "no_log": True, "choices": ["a", "b"]},
    "demo_ports": {
        "type": "list",
        "elements": "dict",
        "options": {"port": {"type": "int", "required": True}, "host": {"type": "str", "default": "here"}, "tls": {}},
    },
}
RELATIONS = {"required_if": [["demo_mode", "external", ["demo_uri", "demo_hosts"], True]]}
SPEC = RoleSpec("demo", {"main": {"options": OPTIONS, **RELATIONS}, "other": {"options": {"demo_more": {}}}})


def converted(**values):
    return SPEC.converted("main", {"demo_folder": "/x"} | values)


def test_defaults_are_set_and_null_is_the_default() -> None:
    arguments, problems = converted(demo_mode=None)
    assert problems == []
    assert arguments["demo_mode"] == "single"
    assert arguments["demo_hosts"] == []
    assert arguments["demo_ports"] is None


@pytest.mark.parametrize("folder", [None, "", " "])
def test_a_required_argument_is_neither_null_nor_empty(folder) -> None:
    assert converted(demo_folder=folder)[1] == ["missing required arguments: demo_folder"]


def test_suboptions_have_their_defaults_and_no_nulls() -> None:
    assert converted(demo_ports=[{"port": "80"}])[0]["demo_ports"] == [{"port": 80, "host": "here"}]
    (problem,) = converted(demo_ports=[{"host": "there"}])[1]
    assert "missing required arguments: port found in demo_ports" in problem
    (problem,) = converted(demo_ports=[{"port": 80, "prot": "x"}])[1]
    assert "demo_ports.prot. Supported parameters include: host, port, tls" in problem


@pytest.mark.parametrize("values", [{}, {"demo_uri": ""}, {"demo_hosts": ""}, {"demo_uri": None, "demo_hosts": []}])
def test_required_if_beside_the_options_counts(values) -> None:
    (problem,) = converted(demo_mode="external", **values)[1]
    assert problem == "demo_mode is external but any of the following are missing: demo_uri, demo_hosts"
    assert converted(demo_mode="external", demo_hosts="a,b")[1] == []


def test_mutually_exclusive_is_about_what_is_set() -> None:
    spec = RoleSpec("demo", {"main": {"options": OPTIONS, "mutually_exclusive": [["demo_uri", "demo_hosts"]]}})
    assert spec.converted("main", {"demo_folder": "x", "demo_uri": "y"})[1] == []
    (problem,) = spec.converted("main", {"demo_folder": "x", "demo_uri": "y", "demo_hosts": "z"})[1]
    assert problem == "parameters are mutually exclusive: demo_uri|demo_hosts"


def test_a_private_value_stands_in_no_problem() -> None:
    (problem,) = converted(demo_key="s3cret")[1]
    assert "demo_key must be one of: a, b" in problem
    assert "s3cret" not in problem


def test_every_conversion_that_fails_is_named() -> None:
    problems = converted(demo_ports="x", demo_uri=["y"])[1]
    assert problems == [
        "demo_uri is a list: give a text",
        'demo_ports is \'x\': give a list of mappings, as [{"key": "value"}]',
    ]


def test_unknown_variables_are_named_with_the_nearest() -> None:
    assert SPEC.unknown(["demo_mode", "demo_more", "other_mode", "__demo_x"]) == []
    nearest, far = SPEC.unknown(["demo_mod", "demo_zzzzzzzzzz"])
    assert nearest == "demo_mod is not a variable of role demo; did you mean demo_mode?"
    assert far.startswith("demo_zzzzzzzzzz is not a variable of role demo; it has demo_folder, demo_hosts")


def test_an_old_name_of_a_suboption_is_read_and_told() -> None:
    scaling = {"type": "dict", "options": {"min_replicas": {"type": "int", "aliases": ["least"], "required": True}}}
    suboptions = {"autoscaling": scaling, "name": {"type": "str"}}
    option = {"type": "list", "elements": "dict", "options": suboptions}
    spec = RoleSpec("demo", {"main": {"options": {"demo_list": option}}})
    workloads = [{"name": "a", "autoscaling": {"least": "2"}}, {"name": "b", "autoscaling": {"min_replicas": 3}}]
    arguments, problems = spec.converted("main", {"demo_list": workloads})
    assert problems == []
    assert [workload["autoscaling"] for workload in arguments["demo_list"]] == [
        {"min_replicas": 2},
        {"min_replicas": 3},
    ]
    assert spec.renamed == ["demo_list[0].autoscaling.least is called min_replicas now"]
