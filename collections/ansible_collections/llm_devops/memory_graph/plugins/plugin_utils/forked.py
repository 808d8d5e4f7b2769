# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.
"""Modules of this collection in a process that the task forks: to pack a module and start a Python for it takes longer
than what most of them do."""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from ansible import constants
from ansible.module_utils import _internal, basic
from ansible.module_utils.common import warnings
from ansible.module_utils.common.json import Direction, get_module_decoder, get_module_encoder
from ansible.plugins.action import ActionBase

from .progress import is_progress_wanted, progress_display

COLLECTION = "llm_devops.memory_graph"
PLUGINS = f"ansible_collections.{COLLECTION}.plugins"
PROFILE = "legacy"
"""How Ansible writes arguments and answers of modules as JSON where a module names no other way."""
Step = Mapping[str, Any]
Answer = dict[str, Any]


def is_local(action: ActionBase) -> bool:
    """Whether the task's modules would run where we do, as who we are, and now."""
    connection = action._connection
    local = connection.transport in ("local", "ansible.builtin.local")
    return local and connection.become is None and not action._task.async_val


def can_fork(action: ActionBase, variables: Mapping[str, Any]) -> bool:
    """Whether they would also run with our Python and environment, so that a copy of this process can run them."""
    return is_local(action) and not any(action._task.environment or []) and _is_ours(_interpreter(action, variables))


def _interpreter(action: ActionBase, variables: Mapping[str, Any]) -> str:
    """Return what Ansible starts a module with; behind `auto` and its like it searches the host."""
    configured = constants.config.get_config_value("INTERPRETER_PYTHON", variables=variables)
    return str(action._templar.template(configured) or "")


def _is_ours(interpreter: str) -> bool:
    """Whether it is the Python that runs us, in the same virtual environment."""
    theirs, ours = Path(interpreter), Path(sys.executable)
    same_folder = theirs.is_absolute() and theirs.parent.resolve() == ours.parent.resolve()
    return same_folder and theirs.resolve() == ours.resolve()


class Compiled:
    """Finds parts of this collection, compiled where Python has them so: Ansible's own finder of collections reads no
    bytecode and writes none, so that all that a module imports is compiled anew in each process."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, _target: ModuleType | None = None) -> ModuleSpec | None:
        """Find a module as the finders of :data:`sys.meta_path` do."""
        if not path or not name.startswith((f"{PLUGINS}.modules.", f"{PLUGINS}.module_utils.")):
            return None
        spec = FileFinder(next(iter(path)), (SourceFileLoader, SOURCE_SUFFIXES)).find_spec(name)
        return spec if spec and spec.loader else None


@contextlib.contextmanager
def compiled() -> Iterator[None]:
    """Within the block imports of this collection use bytecode."""
    sys.meta_path.insert(0, Compiled)  # a class without state serves as its instance
    try:
        yield
    finally:
        sys.meta_path.remove(Compiled)


def imported(name: str) -> ModuleType:
    """A part of this collection by its name below ``plugins``, such as ``modules.release``."""
    with compiled():
        return importlib.import_module(f"{PLUGINS}.{name}")


def run_steps(action: ActionBase, steps: Sequence[Step], variables: Mapping[str, Any], *, show: bool = True) -> Answer:
    """Run the steps in a process of their own, so that what a module leaves behind ends with it.

    :param steps: each with a ``name``, a ``module`` without its collection, and its ``arguments``, Ansible's own
        (``_ansible_check_mode`` and so on) among them.
    :param show: whether progress may be shown where it is wanted.
    :returns: ``steps``, what each answered that was run, of which one that failed is the last; and ``report_shown``,
        where progress may be shown, whether it was.
    """
    folder = Path(action._loader.get_basedir())
    if not (show and is_progress_wanted()):
        return {"steps": Child(steps, None, folder).answers()}
    with progress_display(variables) as progress:
        child = Child(steps, progress.file, folder)
        progress.start()
        return {"steps": child.answers(), "report_shown": progress.was_shown}


class Child:
    """The process that runs the steps, in the folder in which Ansible starts modules: that of the playbook."""

    def __init__(self, steps: Sequence[Step], progress: Path | None, folder: Path) -> None:
        self._steps = steps
        reading, writing = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(reading)
            _run(steps, progress, folder, writing)
        os.close(writing)
        self._pipe = os.fdopen(reading, "rb")

    def answers(self) -> list[Answer]:
        """Wait for the end; returns what each step that was run answered."""
        try:
            with self._pipe as pipe:
                lines = pipe.read().splitlines()
        except BaseException:  # the task's timeout; the module gives its lock back and ends
            os.kill(self._pid, signal.SIGTERM)
            raise
        _pid, status = os.waitpid(self._pid, 0)
        decoder = get_module_decoder(PROFILE, Direction.MODULE_TO_CONTROLLER)  # makes warnings those of Ansible
        answers: list[Answer] = [json.loads(line, cls=decoder) for line in lines]
        complete = len(answers) == len(self._steps) or (answers and answers[-1].get("failed"))
        if not complete:
            ended = f"its process ended with {os.waitstatus_to_exitcode(status)} and did not say why"
            step = self._steps[len(answers)]["name"]
            answers.append({"failed": True, "step": step, "msg": ended, "changed": False})
        return answers


def _run(steps: Sequence[Step], progress: Path | None, folder: Path, pipe: int) -> NoReturn:
    """In the child: run the steps until one fails, write what each answers, and end."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.chdir(folder)
        _internal.is_controller = False  # warnings belong into the answer of a module
        gc.freeze()  # what Ansible made stays: to look it through for garbage would copy it
        with compiled():
            for step in steps:
                answer = {**_answer(step, progress), "step": step["name"]}
                with os.fdopen(os.dup(pipe), "wb") as stream:
                    stream.write(json.dumps(answer).encode() + b"\n")
                if answer.get("failed"):
                    break
        status = 0
    finally:
        os._exit(status)


@contextlib.contextmanager
def started_by_hand(arguments: Mapping[str, Any]) -> Iterator[None]:
    """Within the block a module finds its arguments where somebody who debugs it gives them: on standard input."""
    encoder = get_module_encoder(PROFILE, Direction.CONTROLLER_TO_MODULE)
    payload = json.dumps({"ANSIBLE_MODULE_ARGS": dict(arguments)}, cls=encoder).encode()
    before = sys.argv, sys.stdin
    sys.argv, sys.stdin = sys.argv[:1], io.TextIOWrapper(io.BytesIO(payload))
    basic._ANSIBLE_ARGS = None  # else it is given what the module before it was, and says what that one said
    warnings._global_warnings.clear()
    warnings._global_deprecations.clear()
    try:
        yield
    finally:
        sys.argv, sys.stdin = before


def _answer(step: Step, progress: Path | None) -> Answer:
    """Return the answer of the module, as if it had been started alone."""
    arguments, stdout, writes_progress = dict(step["arguments"]), io.StringIO(), False
    try:
        module = importlib.import_module(f"{PLUGINS}.modules.{step['module']}")
        writes_progress = "progress_file" in module.OPTIONS
        if progress and writes_progress:
            arguments["progress_file"] = str(progress)
        with started_by_hand(arguments), contextlib.redirect_stdout(stdout):
            module.main()
    except SystemExit:
        pass
    except BaseException as error:  # noqa: BLE001 - a module that breaks is one that failed
        where = traceback.extract_tb(error.__traceback__)[-1]
        location = f"{type(error).__name__} in {Path(where.filename).name}, line {where.lineno}"
        return {"failed": True, "changed": False, "msg": f"{step['module']}: {location}"}
    answer: Answer = json.loads(stdout.getvalue().strip().splitlines()[-1])
    if progress and not writes_progress and not answer.get("failed"):
        with progress.open("a") as stream:
            stream.writelines(json.dumps(entry) + "\n" for entry in answer.get("report") or [])
    return answer
