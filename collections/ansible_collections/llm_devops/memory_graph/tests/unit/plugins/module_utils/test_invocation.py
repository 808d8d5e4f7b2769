# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""What a result tells of the arguments of its module."""

from __future__ import annotations

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.llm_devops.memory_graph.plugins.module_utils import _ansible

OPTIONS = {"objects": {"type": "raw"}, "beside": {"type": "list", "elements": "dict"}, "wait": {"type": "bool"}}
OBJECTS = [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"password": "hunter2"}}]
GIVEN = {"objects": OBJECTS, "beside": [{"name": "other", "objects": OBJECTS}], "wait": False}


def told(verbosity):
    with patch_module_args({**GIVEN, "_ansible_verbosity": verbosity}):
        return _ansible.ClusterModule(OPTIONS).invocation()["module_args"]


@pytest.mark.parametrize("verbosity", [0, 2])
def test_objects_are_left_out_where_nobody_is_shown_arguments(verbosity):
    arguments = told(verbosity)
    assert arguments["wait"] is False
    assert arguments["objects"] == arguments["beside"][0]["objects"] == "(shown with -vvv)"


def test_with_vvv_they_are_there_without_values_of_secrets():
    arguments = told(3)
    shown = [{"apiVersion": "v1", "kind": "Secret", "type": None, "metadata": {"name": "s", "namespace": None}}]
    assert arguments["objects"] == arguments["beside"][0]["objects"] == shown
