# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The action plugin starts its module in a fork, or as Ansible does."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.action import release
from ansible_collections.llm_devops.memory_graph.plugins.plugin_utils import progress


def action(monkeypatch, **differences):
    """The plugin of a task on this machine, but for the differences; notes what it starts and how."""
    task = {"async_val": 0, "args": {}, "environment": [{}]} | differences.pop("task", {})
    connection = {"transport": "local", "become": None, "has_native_async": False} | differences
    plugin = object.__new__(release.ActionModule)
    plugin._task, plugin._connection = SimpleNamespace(**task), SimpleNamespace(**connection)
    plugin._templar = SimpleNamespace(template=lambda value: value)
    plugin.started = []

    def execute(name, arguments, task_vars, **more):
        plugin.started.append({"module": name, "arguments": arguments, **more})
        return {"changed": True}

    plugin._execute_module = execute
    monkeypatch.setattr(release.ActionBase, "run", lambda self, tmp, task_vars: {})
    monkeypatch.setattr(progress, "display", SimpleNamespace(verbosity=1, display=lambda text: None))
    return plugin


ELSEWHERE = {"ansible_python_interpreter": "/usr/bin/python3.99"}


@pytest.mark.parametrize(
    ("differences", "display_progress"),
    [
        ({}, True),
        ({"transport": "ansible.builtin.local"}, True),
        ({"transport": "ssh"}, False),
        ({"become": object()}, False),
        ({"task": {"async_val": 30}}, False),
        ({"task": {"args": {"progress_file": "/somewhere"}}}, False),
    ],
    ids=["local", "full name", "another machine", "another user", "async", "a file of the user's"],
)
def test_a_file_beside_us_is_only_asked_for_where_it_can_be(monkeypatch, differences, display_progress):
    plugin = action(monkeypatch, **differences)
    answer = plugin.run(task_vars=ELSEWHERE)
    (started,) = plugin.started
    assert started["module"] == "llm_devops.memory_graph.release"
    calls = started["arguments"].get("progress_file")
    assert (calls not in (None, "/somewhere")) is display_progress
    assert ("report_shown" in answer) is display_progress


def test_what_is_async_runs_in_the_background(monkeypatch):
    plugin = action(monkeypatch, task={"async_val": 30})
    plugin.run(task_vars=ELSEWHERE)
    assert plugin.started[0]["wrap_async"] is True


@pytest.mark.parametrize("values", [{}, {"progress_file": "/somewhere"}])
def test_with_our_own_python_it_runs_in_a_process_that_the_task_forks(monkeypatch, values):
    plugin = action(monkeypatch, task={"args": {"name": "demo", **values}})
    plugin._update_module_args = lambda name, arguments, variables: arguments.update(_ansible_check_mode=True)
    calls = []

    def run_steps(plugin, steps, variables, *, show):
        calls.append((steps[0]["module"], steps[0]["arguments"], show))
        return {"steps": [{"changed": True, "step": steps[0]["name"]}], "report_shown": True}

    monkeypatch.setattr(release, "run_steps", run_steps)
    assert plugin.run(task_vars={"ansible_python_interpreter": sys.executable}) == {
        "changed": True,
        "report_shown": True,
    }
    assert calls == [("release", {"name": "demo", "_ansible_check_mode": True, **values}, not values)]
    assert plugin._task.args == {"name": "demo", **values}
    assert not plugin.started
