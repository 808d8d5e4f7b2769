"""Runs a long command on the controller and shows lines of its output while it runs.

`ansible.builtin.command` is silent until its end, which for a build of twenty minutes looks like a hang.

Options:
  argv (list, required)        the command, never given to a shell
  label (str, required)        first column of every line shown
  announce (str)               shown before the start
  show (str)                   regular expression; lines that match are shown (their first group, if there is one)
  environment_extra (dict)     added to the controller's environment
  stdin_file (str)             file the command reads
  on_failure (str)             begin of the message when the command fails: its meaning and the way out
Returns rc, lines (the last 200), seconds.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

COLUMN = 12
HEARTBEAT_INTERVAL_S = 20
MAX_RESULT_LINES = 200
ERASE_LINE = "\r\x1b[K"
TERMINAL_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

display = Display()


class ActionModule(ActionBase):  # type: ignore[misc] # ansible-core ships no types
    """Works on the controller alone: the hosts of this checkout are clusters reached over a local connection."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(
            argument_spec={
                "argv": {"type": "list", "elements": "str", "required": True},
                "label": {"type": "str", "required": True},
                "announce": {"type": "str"},
                "show": {"type": "str"},
                "environment_extra": {"type": "dict", "default": {}},
                "stdin_file": {"type": "path"},
                "on_failure": {"type": "str", "default": ""},
            },
        )
        if self._task.check_mode:
            return {**result, "skipped": True, "msg": f"would run {args['argv'][0]}"}

        started = time.monotonic()
        if args["announce"]:
            self._say(args["label"], args["announce"])
        try:
            rc, lines = self._follow(args)
        except OSError as error:
            rc, lines = 127, [f"{args['argv'][0]}: {error.strerror}"]
        result.update(rc=rc, lines=lines, seconds=round(time.monotonic() - started), changed=True)
        if rc != 0:
            last_lines = " / ".join(line for line in lines[-6:] if line)
            result.update(
                failed=True, msg=f"{args['on_failure'] or args['argv'][0] + ' failed'} (exit {rc}: {last_lines})"
            )
        return result

    def _follow(self, args: dict[str, Any]) -> tuple[int, list[str]]:
        """Run the command to its end; return its exit code and the last lines of its output.

        Raises OSError when the command or its input file cannot be opened.
        """
        environment = {**os.environ, **{name: str(value) for name, value in args["environment_extra"].items()}}
        lines: deque[str] = deque(maxlen=MAX_RESULT_LINES)
        pattern = re.compile(args["show"]) if args["show"] else None
        with contextlib.ExitStack() as stack:
            source = stack.enter_context(open(args["stdin_file"], "rb")) if args["stdin_file"] else subprocess.DEVNULL  # noqa: PTH123
            process = stack.enter_context(
                subprocess.Popen(  # noqa: S603 - a list of arguments, no shell
                    args["argv"],
                    stdin=source,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    text=True,
                    errors="replace",
                )
            )
            for line in self._lines(process, args["label"]):
                lines.append(line)
                if pattern and (match := pattern.search(line)):
                    self._say(args["label"], match.group(1) if match.groups() else line)
            return process.wait(), list(lines)

    def _lines(self, process: subprocess.Popen[str], label: str) -> Iterator[str]:
        """Yield the command's lines; while it is silent, show at intervals that it still runs."""
        unread: queue.Queue[str | None] = queue.Queue()

        def read() -> None:
            for line in process.stdout or ():
                unread.put(TERMINAL_CODES.sub("", line).strip())
            unread.put(None)

        threading.Thread(target=read, daemon=True).start()
        started = time.monotonic()
        while True:
            try:
                line = unread.get(timeout=HEARTBEAT_INTERVAL_S)
            except queue.Empty:
                self._say(label, f"… {time.monotonic() - started:.0f} s")
                continue
            if line is None:
                return
            yield line

    @staticmethod
    def _say(label: str, text: str) -> None:
        # a stdout callback may have left the name of the task on a terminal's current line
        display.display(f"{ERASE_LINE if sys.stdout.isatty() else ''}{label:<{COLUMN}}{text}")
