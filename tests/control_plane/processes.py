"""Programs that run beside each other: started, watched and stopped."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

STOP_SECONDS = 20.0
RESTARTS = 5
POLL_SECONDS = 0.2
"""Between two looks at what tells nobody when it changes."""


class Ended(RuntimeError):
    """A program ended, or did not become ready; the message has its last words."""


class Program:
    """One program with a log of its own. Its process id is in `pid_file`."""

    def __init__(self, folder: Path, name: str, *arguments: str) -> None:
        self.name = name
        self.pid_file = folder / f"{name}.pid"
        # It must not outlive who started it, however that ends.
        self._command = ["setpriv", "--pdeathsig=TERM", str(folder / "bin" / name), *arguments]
        self._log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._restarts = 0

    def start(self) -> None:
        with self._log.open("ab") as log:
            # A session of its own: Ctrl-C reaches the command that is run beside it, and ends that first.
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.pid_file.write_text(str(self._process.pid))

    def restart(self) -> None:
        """:raises Ended: when that has been done often enough."""
        self._restarts += 1
        if self._restarts > RESTARTS:
            self.check()
        self.start()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, f"{self.name} was not started"
        return self._process

    def check(self) -> None:
        """:raises Ended: when it has."""
        if self.process.poll() is not None:
            raise Ended(f"{self.name} ended with {self.process.returncode}:\n{self.last_words()}")

    def last_words(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])

    def stop(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def await_ready(self, ready: Callable[[], bool], seconds: float) -> None:
        """:raises Ended: when it ends before it is ready, or is not in time."""
        limit = time.monotonic() + seconds
        while not ready():
            self.check()
            if time.monotonic() > limit:
                raise Ended(f"{self.name} was not ready in {seconds:g} s:\n{self.last_words()}")
            time.sleep(POLL_SECONDS)


def run_beside(programs: Sequence[Program], command: list[str]) -> int:
    """Runs a command to its end. A program that ends is started again, as a kubelet would, some times.

    :raises Ended: when one does not stay up; the command is ended with it.
    """
    with subprocess.Popen(command) as running:
        try:
            while running.poll() is None:
                _await_any_end([running, *(one.process for one in programs)])
                for one in programs:
                    if one.process.poll() is not None:
                        one.restart()
        except BaseException:
            _end(running)
            raise
    return running.returncode


def _end(running: subprocess.Popen[bytes]) -> None:
    """A terminal's Ctrl-C has reached the command too; else it is told so."""
    running.send_signal(signal.SIGINT)
    try:
        running.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        running.kill()


def _await_any_end(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    with selectors.DefaultSelector() as selector:
        handles = [os.pidfd_open(one.pid) for one in processes if one.returncode is None]
        try:
            for handle in handles:
                selector.register(handle, selectors.EVENT_READ)
            selector.select()
        finally:
            for handle in handles:
                os.close(handle)
