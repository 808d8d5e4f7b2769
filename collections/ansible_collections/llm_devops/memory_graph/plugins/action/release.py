# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.
"""Runs the release module and shows its progress meanwhile."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ..plugin_utils.forked import can_fork, is_local, run_steps
from ..plugin_utils.progress import is_progress_wanted, progress_display

MODULE = "llm_devops.memory_graph.release"


class ActionModule(ActionBase):  # type: ignore[misc]
    """Run the module in a process that the task forks where that is possible, else as Ansible starts it."""

    _requires_connection = True
    _supports_check_mode = True
    _supports_async = True
    supports_raw_params = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments, variables = dict(self._task.args), task_vars or {}
        if can_fork(self, variables):
            return {**result, **self._in_fork(arguments, variables)}
        if not is_local(self) or arguments.get("progress_file") or not is_progress_wanted():
            in_background = bool(self._task.async_val) and not self._connection.has_native_async
            result.update(self._execute_module(MODULE, arguments, task_vars=task_vars, wrap_async=in_background))
            return result
        with progress_display(variables) as progress:
            progress.start()
            ours = {**arguments, "progress_file": str(progress.file)}
            result.update(self._execute_module(MODULE, ours, task_vars=task_vars))
            result["report_shown"] = progress.was_shown
        return result

    def _in_fork(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        show = not arguments.get("progress_file")
        self._update_module_args(MODULE, arguments, variables)
        step = {"name": "release", "module": "release", "arguments": arguments}
        outcome = run_steps(self, [step], variables, show=show)
        (answer,) = outcome.pop("steps")
        answer.pop("step")
        return {**answer, **outcome}
