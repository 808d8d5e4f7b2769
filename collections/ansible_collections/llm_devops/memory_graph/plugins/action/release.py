# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.
"""Runs the release module and shows its progress meanwhile."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

display = Display()
MODULE = "llm_devops.memory_graph.release"
# Strategies load this file before they fork; the worker that runs the task has no terminal any more.
TERMINAL = sys.stdout.isatty()
PAUSE = 0.2
"""Seconds between two looks at the progress."""
LINE_S = 5.0
"""Most time that a line takes on its way out."""


class ActionModule(ActionBase):  # type: ignore[misc]
    """The module appends JSON lines to a file beside us; a thread shows them as they come."""

    _requires_connection = True
    _supports_check_mode = True
    _supports_async = True
    supports_raw_params = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if not self._can_show(arguments):
            in_background = bool(self._task.async_val) and not self._connection.has_native_async
            result.update(self._execute_module(MODULE, arguments, task_vars=task_vars, wrap_async=in_background))
            return result
        with tempfile.TemporaryDirectory() as folder:
            progress = Path(folder) / "progress"
            done, line = threading.Event(), threading.Lock()
            tail = threading.Thread(target=show, args=(progress, host_prefix(task_vars or {}), done, line), daemon=True)
            with ended_between_lines(line):
                tail.start()
                try:
                    ours = {**arguments, "progress_file": str(progress)}
                    result.update(self._execute_module(MODULE, ours, task_vars=task_vars))
                finally:  # also when the run is interrupted
                    done.set()
                    tail.join()
            result["report_shown"] = progress.exists()
        return result

    def _can_show(self, arguments: Mapping[str, Any]) -> bool:
        """The file must be ours, and the module must run where we do, as who we are, and now."""
        return (
            is_progress_wanted()
            and not arguments.get("progress_file")
            and self._connection.transport in ("local", "ansible.builtin.local")
            and self._connection.become is None
            and not self._task.async_val
        )


def is_progress_wanted() -> bool:
    """On a terminal always; in AWX (JOB_ID) and other pipelines, which keep every line, only with -v."""
    return bool(display.verbosity > 0) or (TERMINAL and not os.environ.get("JOB_ID"))


def host_prefix(variables: Mapping[str, Any]) -> str:
    """Which host a line is about, where there are several."""
    several = len(variables.get("ansible_play_hosts_all") or []) > 1
    return f"{variables['inventory_hostname']}: " if several else ""


@contextmanager
def ended_between_lines(line: threading.Lock) -> Iterator[None]:
    """A worker that is told to end kills itself. In the middle of a line it would take the lock of Ansible's queue with
    it, for which the run then waits for ever: it waits until the line is out."""
    both = (signal.SIGINT, signal.SIGTERM)
    before = {int(number): handler for number in both if callable(handler := signal.getsignal(number))}

    def end(number: int, frame: FrameType | None) -> None:
        line.acquire(timeout=LINE_S)
        before[number](number, frame)

    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def show(file: Path, host: str, done: threading.Event, line: threading.Lock) -> None:
    # Python answers a signal in the main thread alone, which waits for the module: one that the kernel gives to this
    # thread would not wake it, and Ctrl-C would wait for the module's end.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    position, last = 0, False
    while not last:
        last = done.wait(PAUSE)
        try:
            with file.open("rb") as stream:
                stream.seek(position)
                added = stream.read()
        except OSError:  # not there yet: progress is a comfort, and no reason to fail
            continue
        complete = added[: added.rfind(b"\n") + 1]
        position += len(complete)
        for label, text in _entries(complete):
            with line:
                display.display(f"{label:<11} {host}{text}")


def _entries(lines: bytes) -> Iterator[tuple[str, str]]:
    """Label and text of each line that has both."""
    for line in lines.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and {"label", "text"} <= entry.keys():
            yield str(entry["label"]), str(entry["text"])
