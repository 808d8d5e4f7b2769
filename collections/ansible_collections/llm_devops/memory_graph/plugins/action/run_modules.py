# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.
"""Runs modules of this collection one after the other, where it can in one process that it forks."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from ansible.plugins.action import ActionBase

try:
    from ansible.module_utils.testing import patch_module_args
except ImportError:  # then each module is packed and started as Ansible does
    patch_module_args = None

from ..module_utils._ansible import auth_options
from .release import ended_between_lines, host_prefix, is_progress_wanted, show

COLLECTION = "llm_devops.memory_graph"


class ActionModule(ActionBase):  # type: ignore[misc]
    """To pack a module and start a Python for it takes longer than what it does, so the worker forks once for all."""

    _requires_connection = True
    _supports_check_mode = True
    supports_raw_params = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "defaults": {"type": "dict", "default": {}},
                "steps": {"type": "list", "elements": "dict", "required": True},
            },
        )
        variables = task_vars or {}
        steps = [self._step(step, options["defaults"], variables) for step in options["steps"]]
        if not self._is_local(variables):
            return {**result, **outcome(self._one_by_one(steps, variables))}
        if not is_progress_wanted():
            return {**result, **outcome(forked(steps, None))}
        with tempfile.TemporaryDirectory() as folder:
            progress = Path(folder) / "progress"
            done, line = threading.Event(), threading.Lock()
            tail = threading.Thread(target=show, args=(progress, host_prefix(variables), done, line), daemon=True)
            with ended_between_lines(line):
                child = Child(steps, progress)  # a process with threads must not fork
                tail.start()
                try:
                    answers = child.answers()
                finally:  # also when the run is interrupted
                    done.set()
                    tail.join()
            return {**result, **outcome(answers), "report_shown": progress.exists()}

    def _step(self, step: Mapping[str, Any], defaults: Mapping[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """A step with the arguments that its module takes; a null is an argument not given."""
        module = importlib.import_module(f"ansible_collections.{COLLECTION}.plugins.modules.{step['module']}")
        taken = {name: value for name, value in defaults.items() if name in module.OPTIONS or name in auth_options()}
        given = {name: value for name, value in {**taken, **step["arguments"]}.items() if value is not None}
        role = f"{self._task._role.get_name()} : " if self._task._role else ""
        self._update_module_args(f"{COLLECTION}.{step['module']}", given, variables)
        return {"name": f"{role}{step['name']}", "module": step["module"], "arguments": given}

    def _is_local(self, variables: Mapping[str, Any]) -> bool:
        """Whether the modules would run where we do, as who we are, with our Python and environment, and now."""
        interpreter = self._templar.template(variables.get("ansible_python_interpreter"))
        return (
            patch_module_args is not None
            and self._connection.transport in ("local", "ansible.builtin.local")
            and self._connection.become is None
            and not self._task.async_val
            and not any(self._task.environment or [])
            and interpreter in (sys.executable, variables.get("ansible_playbook_python"))
        )

    def _one_by_one(self, steps: list[dict[str, Any]], variables: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for step in steps:
            arguments = {name: value for name, value in step["arguments"].items() if not name.startswith("_ansible_")}
            answer = self._execute_module(f"{COLLECTION}.{step['module']}", arguments, task_vars=variables)
            yield {**answer, "step": step["name"]}
            if answer.get("failed"):
                return


def outcome(answers: Iterator[dict[str, Any]] | list[dict[str, Any]]) -> dict[str, Any]:
    """What is said of all steps together; a step that failed is the last, and its result that of the task."""
    steps = list(answers)
    last = steps[-1] if steps else {}
    together: dict[str, Any] = {key: [item for step in steps for item in step.get(key) or []]
                                for key in ("report", "diff", "warnings", "deprecations")}  # fmt: skip
    found = {key: value for key, value in together.items() if value} | {"steps": steps}
    failed = last if last.get("failed") else {}
    return {**failed, **found, "changed": any(step.get("changed") for step in steps)}


def forked(steps: list[dict[str, Any]], progress: Path | None) -> list[dict[str, Any]]:
    """Run the steps in a process of their own, so that what a module leaves behind ends with it."""
    return Child(steps, progress).answers()


class Child:
    """The process that runs the steps."""

    def __init__(self, steps: list[dict[str, Any]], progress: Path | None) -> None:
        self._steps = steps
        reading, writing = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(reading)
            _run(steps, progress, writing)
        os.close(writing)
        self._pipe = os.fdopen(reading, "rb")

    def answers(self) -> list[dict[str, Any]]:
        """Wait for the end; returns what each step that was run answered."""
        with self._pipe as pipe:
            lines = pipe.read().splitlines()
        _pid, status = os.waitpid(self._pid, 0)
        answers: list[dict[str, Any]] = [json.loads(line) for line in lines]
        complete = len(answers) == len(self._steps) or (answers and answers[-1].get("failed"))
        if not complete:
            ended = f"its process ended with {os.waitstatus_to_exitcode(status)} and did not say why"
            step = self._steps[len(answers)]["name"]
            answers.append({"failed": True, "step": step, "msg": ended, "changed": False})
        return answers


def _run(steps: list[dict[str, Any]], progress: Path | None, pipe: int) -> NoReturn:
    """In the child: run the steps until one fails, write what each answers, and end."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for step in steps:
            answer = {**_answer(step, progress), "step": step["name"]}
            with os.fdopen(os.dup(pipe), "wb") as stream:
                stream.write(json.dumps(answer).encode() + b"\n")
            if answer.get("failed"):
                break
        status = 0
    finally:
        os._exit(status)


def _answer(step: Mapping[str, Any], progress: Path | None) -> dict[str, Any]:
    """What the module says, as if it had been started alone."""
    module = importlib.import_module(f"ansible_collections.{COLLECTION}.plugins.modules.{step['module']}")
    writes_progress = "progress_file" in module.OPTIONS
    arguments = dict(step["arguments"]) | ({"progress_file": str(progress)} if progress and writes_progress else {})
    said = io.StringIO()
    try:
        with patch_module_args(arguments), contextlib.redirect_stdout(said):
            module.main()
    except SystemExit:
        pass
    except BaseException as error:  # noqa: BLE001 - a module that breaks is one that failed
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{type(error).__name__} in {Path(where.filename).name}, line {where.lineno}"
        return {"failed": True, "changed": False, "msg": f"{step['module']}: {place}"}
    answer: dict[str, Any] = json.loads(said.getvalue().strip().splitlines()[-1])
    answer.pop("invocation", None)  # all objects once more, in a task whose own arguments say the same
    if progress and not writes_progress and not answer.get("failed"):
        with progress.open("a") as stream:
            stream.writelines(json.dumps(entry) + "\n" for entry in answer.get("report") or [])
    return answer
