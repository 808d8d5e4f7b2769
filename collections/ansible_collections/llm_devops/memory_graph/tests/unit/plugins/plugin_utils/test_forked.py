# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Modules that run one after the other in a process that the task forks."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llm_devops.memory_graph.plugins.action.run_modules import outcome
from ansible_collections.llm_devops.memory_graph.plugins.plugin_utils import forked, progress

OPTIONS = {"text": {"type": "str"}, "count": {"type": "int", "default": 1}}
MODULES = f"{forked.PLUGINS}.modules"


def answers() -> None:
    module = AnsibleModule(OPTIONS, supports_check_mode=True)
    output = [{"label": module.params["text"], "text": str(module.params["count"])}]
    if module.params["text"] == "wrong":
        module.fail_json(msg="it is wrong", report=output)
    if module.params["text"] == "careful":
        module.warn("it is hot")
    module.exit_json(
        changed=module.params["text"] == "new",
        check=module.check_mode,
        pid=os.getpid(),
        folder=str(Path.cwd()),
        report=output,
    )


def broken() -> None:
    raise ValueError("s3cret")


def slow() -> None:
    """Appends a line when it has begun, and one when it is told to end."""
    file = Path(os.environ["SLOW"])

    def on_sigterm(*_signal: object) -> None:
        with file.open("a") as stream:
            stream.write("signalled\n")
        os._exit(3)

    signal.signal(signal.SIGTERM, on_sigterm)
    file.write_text("began\n")
    threading.Event().wait(60)


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    """Modules `said`, which answers, `broken`, which raises, `killed`, whose process ends, and `slow`, which waits."""
    for name, main in {"answers": answers, "broken": broken, "killed": lambda: os._exit(9), "slow": slow}.items():
        module = ModuleType(f"{MODULES}.{name}")
        module.OPTIONS, module.main = OPTIONS, main
        monkeypatch.setitem(sys.modules, f"{MODULES}.{name}", module)


def step(text: str, module: str = "answers", **arguments):
    return {"name": f"say {text}", "module": module, "arguments": {"text": text, **arguments}}


def action(folder: Path, **differs):
    """The plugin of a task on this machine with our own Python, but for the differences."""
    return SimpleNamespace(
        _templar=SimpleNamespace(template=lambda value: value),
        _connection=SimpleNamespace(transport=differs.get("transport", "local"), become=differs.get("become")),
        _task=SimpleNamespace(async_val=differs.get("async_val", 0), environment=differs.get("environment", [{}])),
        _loader=SimpleNamespace(get_basedir=lambda: str(folder)),
    )


@pytest.fixture
def ran(tmp_path):
    """Runs steps, and says what is said of them together."""
    return lambda *steps: outcome(forked.run_steps(action(tmp_path), steps, {})["steps"])


def test_all_steps_run_in_one_other_process(ran):
    results = ran(step("old", count="7"), step("new"))
    assert results["changed"] is True
    assert "failed" not in results
    assert results["report"] == [{"label": "old", "text": "7"}, {"label": "new", "text": "1"}]
    (pid,) = {item["pid"] for item in results["steps"]}
    assert pid != os.getpid()
    assert [item["step"] for item in results["steps"]] == ["say old", "say new"]


def test_they_run_in_the_folder_of_the_playbook(ran, tmp_path):
    assert ran(step("old"))["steps"][0]["folder"] == str(tmp_path)
    assert str(Path.cwd()) != str(tmp_path)


def test_the_first_that_fails_ends_it_and_is_the_result(ran):
    results = ran(step("old"), step("wrong"), step("new"))
    assert (results["failed"], results["msg"], results["step"]) == (True, "it is wrong", "say wrong")
    assert [item["label"] for item in results["report"]] == ["old", "wrong"]
    assert results["changed"] is False


def test_a_module_that_breaks_is_told_by_place_and_not_by_what_it_held(ran):
    results = ran(step("x", "broken"))
    assert results["failed"]
    assert results["msg"].startswith("broken: ValueError in test_forked.py, line ")
    assert "s3cret" not in json.dumps(results)


def test_a_process_that_dies_is_a_failure_of_its_step(ran):
    results = ran(step("old"), step("x", "killed"), step("new"))
    assert (results["failed"], results["step"]) == (True, "say x")
    assert results["msg"] == "its process ended with 9 and did not say why"


def test_check_mode_reaches_the_modules(ran):
    assert ran(step("old", _ansible_check_mode=True))["steps"][0]["check"] is True


def test_what_a_module_was_given_is_told_with_its_answer(ran):
    request = {"_ansible_inject_invocation": True}  # how ansible-core 2.21 asks for what older ones always tell
    (answer,) = ran(step("old", count="7", **request))["steps"]
    reported = answer["invocation"]["module_args"]
    assert (reported["text"], reported["count"]) == ("old", 7)


def test_a_warning_belongs_to_its_module_and_is_one_of_ansible(ran):
    results = ran(step("careful"), step("old"))
    (warning,) = results["warnings"]
    assert "warnings" not in results["steps"][1]
    assert type(warning).__name__ == "WarningSummary"
    assert warning.event.msg == "it is hot"


def test_what_the_steps_report_is_progress_where_they_show_none(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(progress, "display", SimpleNamespace(verbosity=1, display=lines.append))
    results = forked.run_steps(action(tmp_path), [step("old"), step("new")], {})
    assert lines == ["old         1", "new         1"]
    assert results["report_shown"] is True


def test_a_task_that_runs_out_of_time_tells_its_module_to_end(tmp_path, monkeypatch):
    file = tmp_path / "slow"
    monkeypatch.setenv("SLOW", str(file))

    def seen(line: str) -> None:
        until = time.monotonic() + 60
        while line not in (file.read_text() if file.exists() else ""):
            assert time.monotonic() < until
            time.sleep(0.01)

    class InterruptedPipe(contextlib.nullcontext):
        """A pipe whose reader is woken by Ansible's alarm."""

        def __enter__(self):
            return self

        def read(self) -> bytes:
            seen("began")
            raise TimeoutError

    child = forked.Child([step("x", "slow")], None, tmp_path)
    child._pipe = InterruptedPipe()
    with pytest.raises(TimeoutError):
        child.answers()
    seen("signalled")
    assert os.waitstatus_to_exitcode(os.waitpid(child._pid, 0)[1]) == 3


@pytest.mark.parametrize(
    ("differs", "local"),
    [
        ({}, True),
        ({"transport": "ssh"}, False),
        ({"become": object()}, False),
        ({"async_val": 30}, False),
        ({"environment": [{"HTTPS_PROXY": "http://proxy"}]}, False),
        ({"interpreter": "/usr/bin/python3.99"}, False),
        ({"interpreter": "python3"}, False),
        ({"interpreter": "auto"}, False),
        ({"interpreter": str(Path(sys.executable).with_name(Path(sys.executable).resolve().name))}, None),
    ],
    ids=["here", "elsewhere", "as another", "in the background", "with an environment", "another Python", "one by name",
         "a Python to be found", "our own by another name"],
)  # fmt: skip
def test_where_modules_are_started_as_ansible_does(tmp_path, differs, local):
    interpreter = differs.get("interpreter", sys.executable)
    expected = Path(interpreter).exists() if local is None else local
    assert forked.can_fork(action(tmp_path, **differs), {"ansible_python_interpreter": interpreter}) is expected


def test_where_no_variable_names_a_python_the_configuration_does(tmp_path, monkeypatch):
    monkeypatch.setenv("ANSIBLE_PYTHON_INTERPRETER", sys.executable)
    assert forked.can_fork(action(tmp_path), {})
    monkeypatch.setenv("ANSIBLE_PYTHON_INTERPRETER", "/usr/bin/python3.99")
    assert not forked.can_fork(action(tmp_path), {})


def test_what_modules_import_is_kept_compiled(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    folder = tmp_path / "module_utils"
    folder.mkdir()
    (folder / "_one.py").write_text("ONE = 1\n")
    (folder / "package").mkdir()
    name = f"{forked.PLUGINS}.module_utils._one"
    results = forked.Compiled.find_spec(name, [str(folder)])
    results.loader.exec_module(importlib.util.module_from_spec(results))
    assert list(folder.glob("__pycache__/_one.*.pyc"))
    assert forked.Compiled.find_spec(f"{forked.PLUGINS}.module_utils.package", [str(folder)]) is None
    assert forked.Compiled.find_spec(f"{forked.PLUGINS}.module_utils._two", [str(folder)]) is None
    assert forked.Compiled.find_spec("ansible_collections.others.module_utils._one", [str(folder)]) is None
    assert forked.Compiled.find_spec(name, None) is None
