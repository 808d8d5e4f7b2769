"""Runs a short command on the controller, in the process of the task.

`ansible.builtin.command` packs a module and starts a Python for it, ten times the work of a question to Docker. Results
are the same: `register`, `changed_when`, `failed_when`, `until`, `loop` and `check_mode` work as with it.

Options:
  argv (list, required)        the command, never given to a shell
  stdin (str)                  its standard input
Returns cmd, rc, stdout, stdout_lines, stderr, stderr_lines.
"""

from __future__ import annotations

import subprocess
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):  # type: ignore[misc] # ansible-core ships no types
    """Works on the controller alone: the hosts of this checkout are clusters reached over a local connection."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(
            argument_spec={
                "argv": {"type": "list", "elements": "str", "required": True},
                "stdin": {"type": "str"},
            },
        )
        if self._task.check_mode:
            return {**result, "skipped": True, "msg": f"would run {args['argv'][0]}"}
        return {**result, "changed": True, **run_command(args["argv"], args["stdin"])}


def run_command(argv: list[str], stdin: str | None = None) -> dict[str, Any]:
    """Run a command to its end and return its result; a command that cannot be started fails with 127."""
    try:
        done = subprocess.run(  # noqa: S603 - a list of arguments, no shell
            argv, input=stdin or "", capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as error:
        message = f"{argv[0]}: {error.strerror}"
        return {"cmd": argv, "rc": 127, "stdout": "", "stdout_lines": [], "stderr": message, "stderr_lines": [message],
                "failed": True, "msg": message}  # fmt: skip
    result = {"cmd": argv, "rc": done.returncode, "stdout": done.stdout.rstrip("\r\n"), "stderr": done.stderr.rstrip()}
    result |= {f"{name}_lines": str(result[name]).splitlines() for name in ("stdout", "stderr")}
    if done.returncode:
        result |= {"failed": True, "msg": f"{argv[0]} ended with {done.returncode}"}
    return result
