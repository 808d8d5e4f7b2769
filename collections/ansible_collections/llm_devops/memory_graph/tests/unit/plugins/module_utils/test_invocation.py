# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The arguments of a module as its result shows them."""

from __future__ import annotations

import pytest
from ansible.module_utils.common.arg_spec import ModuleArgumentSpecValidator
from ansible.module_utils.testing import patch_module_args
from ansible_collections.llm_devops.memory_graph.plugins.module_utils import _ansible
from ansible_collections.llm_devops.memory_graph.plugins.modules.permissions_info import OPTIONS

OBJECTS = [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"password": "hunter2"}}]
RELEASE = {"name": "other", "namespace": "data", "objects": OBJECTS}
ARGUMENTS = {"namespace": "home", "objects": OBJECTS, "optional": False}


def invocation(name, verbosity):
    with patch_module_args({**ARGUMENTS, name: [RELEASE], "_ansible_verbosity": verbosity}):
        return _ansible.ClusterModule(OPTIONS).invocation()["module_args"]


@pytest.mark.parametrize("name", ["additional_releases", "beside"])
@pytest.mark.parametrize("verbosity", [0, 2])
def test_objects_are_left_out_where_nobody_is_shown_arguments(name, verbosity):
    arguments = invocation(name, verbosity)
    assert arguments["optional"] is False
    assert arguments["objects"] == arguments[name][0]["objects"] == "(shown with -vvv)"
    assert "hunter2" not in str(arguments)


@pytest.mark.parametrize("name", ["additional_releases", "beside"])
def test_with_vvv_they_are_there_without_values_of_secrets(name):
    arguments = invocation(name, 3)
    expected = [{"apiVersion": "v1", "kind": "Secret", "type": None, "metadata": {"name": "s", "namespace": None}}]
    assert arguments["objects"] == arguments[name][0]["objects"] == expected
    assert "hunter2" not in str(arguments)


def test_old_names_of_options_are_deprecated_aliases():
    old = {"name": "db", "namespace": "data", "reads": ["a"], "makes": ["b"], "brings_namespace": True}
    result = ModuleArgumentSpecValidator(OPTIONS).validate({**ARGUMENTS, "beside": [old]})
    assert not result.error_messages
    (release,) = result.validated_parameters["additional_releases"]
    assert release["read_secrets"] == ["a"]
    assert release["create_secrets"] == ["b"]
    assert release["create_namespace"] is True
    deprecations = " ".join(map(str, result._deprecations))
    assert all(f"{name}'" in deprecations for name in ("beside", "reads", "makes", "brings_namespace"))
