# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.
"""Runs the release module and shows its progress meanwhile."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

display = Display()


class ActionModule(ActionBase):  # type: ignore[misc]
    """The module appends JSON lines to a file beside us; a thread shows them as they come."""

    _requires_connection = True
    supports_raw_params = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if not _shown() or self._connection.transport not in ("local", "ansible.builtin.local"):
            result.update(self._execute_module("llm_devops.memory_graph.release", arguments, task_vars=task_vars))
            return result
        with tempfile.TemporaryDirectory() as folder:
            arguments["progress_file"] = str(Path(folder) / "progress")
            done = threading.Event()
            tail = threading.Thread(target=_show, args=(arguments["progress_file"], done))
            tail.start()
            try:
                result.update(self._execute_module("llm_devops.memory_graph.release", arguments, task_vars=task_vars))
            finally:
                done.set()
                tail.join()
        result["report_shown"] = True
        return result


def _shown() -> bool:
    """On a terminal always; in AWX (JOB_ID) and other pipelines, which keep every line, only with -v."""
    return display.verbosity > 0 or (sys.stdout.isatty() and not os.environ.get("JOB_ID"))


def _show(path: str, done: threading.Event) -> None:
    position, last = 0, False
    while not last:
        last = done.wait(0.2)
        if not Path(path).exists():
            continue
        with Path(path).open(encoding="utf-8") as stream:
            stream.seek(position)
            lines = stream.read()
        complete = lines.rfind("\n") + 1
        position += len(lines[:complete].encode())
        for line in lines[:complete].splitlines():
            entry = json.loads(line)
            display.display(f"{entry['label']:<11} {entry['text']}")
