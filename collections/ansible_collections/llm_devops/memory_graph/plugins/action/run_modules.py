# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.
"""Runs modules of this collection one after the other, where it can in one process that it forks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible.plugins.action import ActionBase

from ..plugin_utils.forked import COLLECTION, can_fork, imported, run_steps


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs several modules in one task, for which the worker forks once."""

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
        if not can_fork(self, variables):
            return {**result, **outcome(list(self._one_by_one(steps, variables)))}
        combined = run_steps(self, steps, variables)
        for answer in combined["steps"]:
            answer.pop("invocation", None)  # all objects once more, in a task whose own arguments say the same
        return {**result, **outcome(combined.pop("steps")), **combined}

    def _step(self, step: Mapping[str, Any], defaults: Mapping[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """A step with the arguments that its module takes; a null is an argument not given."""
        takes = imported(f"modules.{step['module']}").OPTIONS | imported("module_utils._ansible").auth_options()
        defaults_taken = {name: value for name, value in defaults.items() if name in takes}
        module_arguments = {
            name: value for name, value in {**defaults_taken, **step["arguments"]}.items() if value is not None
        }
        role = f"{self._task._role.get_name()} : " if self._task._role else ""
        self._update_module_args(f"{COLLECTION}.{step['module']}", module_arguments, variables)
        return {"name": f"{role}{step['name']}", "module": step["module"], "arguments": module_arguments}

    def _one_by_one(self, steps: list[dict[str, Any]], variables: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for step in steps:
            arguments = {name: value for name, value in step["arguments"].items() if not name.startswith("_ansible_")}
            answer = self._execute_module(f"{COLLECTION}.{step['module']}", arguments, task_vars=variables)
            yield {**answer, "step": step["name"]}
            if answer.get("failed"):
                return


def outcome(steps: list[dict[str, Any]]) -> dict[str, Any]:
    """Combine the results of all steps; a step that failed is the last, and its result that of the task."""
    last = steps[-1] if steps else {}
    together: dict[str, Any] = {key: [item for step in steps for item in step.get(key) or []]
                                for key in ("report", "diff", "warnings", "deprecations")}  # fmt: skip
    combined = {key: value for key, value in together.items() if value} | {"steps": steps}
    failed = last if last.get("failed") else {}
    return {**failed, **combined, "changed": any(step.get("changed") for step in steps)}
