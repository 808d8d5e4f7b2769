# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Modules that run one after the other in a process of their own, and what is said of them together."""

from __future__ import annotations

import json
import os
import sys
from types import ModuleType, SimpleNamespace

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llm_devops.memory_graph.plugins.action import run_modules

MODULES = "ansible_collections.llm_devops.memory_graph.plugins.modules"
OPTIONS = {"text": {"type": "str"}, "count": {"type": "int", "default": 1}}


def answers(**more):
    def main() -> None:
        module = AnsibleModule(OPTIONS | more.pop("options", {}), supports_check_mode=True)
        said = [{"label": module.params["text"], "text": str(module.params["count"])}]
        if module.params["text"] == "wrong":
            module.fail_json(msg="it is wrong", report=said)
        module.exit_json(changed=module.params["text"] == "new", check=module.check_mode, pid=os.getpid(), report=said)

    return main


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    """Modules `said`, which answers, `broken`, which raises, and `killed`, whose process ends."""

    def broken() -> None:
        raise ValueError("s3cret")

    mains = {"said": answers(), "broken": broken, "killed": lambda: os._exit(9)}
    for name, main in mains.items():
        module = ModuleType(f"{MODULES}.{name}")
        module.OPTIONS, module.main = OPTIONS, main
        monkeypatch.setitem(sys.modules, f"{MODULES}.{name}", module)


def step(text: str, module: str = "said", **arguments):
    return {"name": f"say {text}", "module": module, "arguments": {"text": text, **arguments}}


def ran(*steps):
    return run_modules.outcome(run_modules.forked(list(steps), None))


def test_all_steps_run_in_one_other_process() -> None:
    found = ran(step("old", count="7"), step("new"))
    assert found["changed"] is True
    assert "failed" not in found
    assert found["report"] == [{"label": "old", "text": "7"}, {"label": "new", "text": "1"}]
    (pid,) = {one["pid"] for one in found["steps"]}
    assert pid != os.getpid()
    assert [one["step"] for one in found["steps"]] == ["say old", "say new"]


def test_the_first_that_fails_ends_it_and_is_the_result() -> None:
    found = ran(step("old"), step("wrong"), step("new"))
    assert (found["failed"], found["msg"], found["step"]) == (True, "it is wrong", "say wrong")
    assert [one["label"] for one in found["report"]] == ["old", "wrong"]
    assert found["changed"] is False


def test_a_module_that_breaks_is_told_by_place_and_not_by_what_it_held() -> None:
    found = ran(step("x", "broken"))
    assert found["failed"]
    assert found["msg"].startswith("broken: ValueError in test_run_modules.py, line ")
    assert "s3cret" not in json.dumps(found)


def test_a_process_that_dies_is_a_failure_of_its_step() -> None:
    found = ran(step("old"), step("x", "killed"), step("new"))
    assert (found["failed"], found["step"]) == (True, "say x")
    assert found["msg"] == "its process ended with 9 and did not say why"


def test_check_mode_reaches_the_modules() -> None:
    assert ran(step("old", _ansible_check_mode=True))["steps"][0]["check"] is True


def test_what_the_steps_report_is_progress_where_they_show_none(tmp_path) -> None:
    run_modules.forked([step("old"), step("new")], tmp_path / "progress")
    lines = [json.loads(line)["label"] for line in (tmp_path / "progress").read_text().splitlines()]
    assert lines == ["old", "new"]


@pytest.mark.parametrize(
    ("differs", "local"),
    [
        ({}, True),
        ({"transport": "ssh"}, False),
        ({"become": object()}, False),
        ({"environment": [{"HTTPS_PROXY": "http://proxy"}]}, False),
        ({"interpreter": "/usr/bin/python3.99"}, False),
        ({"interpreter": None}, False),
    ],
    ids=["here", "elsewhere", "as another", "with an environment", "another Python", "a Python to be found"],
)
def test_where_modules_are_started_as_ansible_does(differs, local) -> None:
    action = run_modules.ActionModule.__new__(run_modules.ActionModule)
    action._templar = SimpleNamespace(template=lambda value: value)
    action._connection = SimpleNamespace(
        transport=differs.get("transport", "local"), become=differs.get("become"), has_native_async=False
    )
    action._task = SimpleNamespace(async_val=0, environment=differs.get("environment", [{}]))
    variables = {"ansible_python_interpreter": differs.get("interpreter", sys.executable)}
    assert action._is_local(variables | {"ansible_playbook_python": sys.executable}) is local
