# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Modules get their own arguments and the defaults that they take, and run one by one."""

from __future__ import annotations

from types import SimpleNamespace

from ansible_collections.llm_devops.memory_graph.plugins.action import run_modules


def action(**more):
    """The plugin of a task of the role `demo`, in check mode."""
    plugin = object.__new__(run_modules.ActionModule)
    plugin._task = SimpleNamespace(_role=SimpleNamespace(get_name=lambda: "demo"))
    plugin._update_module_args = lambda name, values, variables: values.update(_ansible_check_mode=True)
    for name, value in more.items():
        setattr(plugin, name, value)
    return plugin


def test_a_module_is_given_the_defaults_that_it_takes_and_no_null():
    defaults = {"namespace": "demo", "kubeconfig": "/config", "history_limit": 3, "context": None, "wait": True}
    step = {"name": "Look", "module": "release_info", "arguments": {"name": "web", "revision": None}}
    assert action()._step(step, defaults, {}) == {
        "name": "demo : Look",
        "module": "release_info",
        "arguments": {"namespace": "demo", "kubeconfig": "/config", "name": "web", "_ansible_check_mode": True},
    }


def test_elsewhere_they_are_started_by_ansible_until_one_fails():
    started = []

    def execute(name, arguments, task_vars):
        started.append((name, arguments))
        return {"failed": len(started) == 2}

    steps = [
        {"name": name, "module": "release_info", "arguments": {"name": name, "_ansible_diff": True}} for name in "abc"
    ]
    answers = list(action(_execute_module=execute)._one_by_one(steps, {}))
    assert answers == [{"failed": False, "step": "a"}, {"failed": True, "step": "b"}]
    assert started == [
        ("llm_devops.memory_graph.release_info", {"name": "a"}),
        ("llm_devops.memory_graph.release_info", {"name": "b"}),
    ]
