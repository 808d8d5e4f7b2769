# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.
"""Shows progress while a module runs: it appends JSON lines to a file beside us, a thread shows them as they come."""

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

from ansible.utils.display import Display

display = Display()
# Strategies load action plugins, and this with them, before they fork; the worker of a task has no terminal any more.
TERMINAL = sys.stdout.isatty()
PAUSE = 0.2
"""Seconds between two looks at the progress."""
LINE_S = 5.0
"""Most time that a line takes on its way out."""


def is_progress_wanted() -> bool:
    """On a terminal always; in AWX (JOB_ID) and other pipelines, which keep every line, only with -v."""
    return bool(display.verbosity > 0) or (TERMINAL and not os.environ.get("JOB_ID"))


class ProgressFile:
    """The file that a module appends to, and the thread that shows what comes.

    The thread is started by its user: a process that has threads must not fork.
    """

    def __init__(self, file: Path, host: str, line: threading.Lock) -> None:
        self.file = file
        self._done = threading.Event()
        self._tail = threading.Thread(target=show, args=(file, host, self._done, line), daemon=True)

    def start(self) -> None:
        self._tail.start()

    def end(self) -> None:
        """Show what is left."""
        self._done.set()
        if self._tail.ident is not None:
            self._tail.join()

    @property
    def was_shown(self) -> bool:
        return self.file.exists()


@contextmanager
def progress_display(variables: Mapping[str, Any]) -> Iterator[ProgressFile]:
    """Within the block progress may be shown; its end, also by an error, waits until all of it is out."""
    with tempfile.TemporaryDirectory() as folder:
        line = threading.Lock()
        progress = ProgressFile(Path(folder) / "progress", host_prefix(variables), line)
        with ended_between_lines(line):
            try:
                yield progress
            finally:  # also when the run is interrupted
                progress.end()


def host_prefix(variables: Mapping[str, Any]) -> str:
    """Return the prefix that names the host of a line, empty where there is one host."""
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
    """Display what is appended to the file, until it is done and all is read."""
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
