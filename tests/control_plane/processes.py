"""Programs that run beside each other: started, watched and stopped."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

STOP_TIMEOUT_S = 20.0
MAX_RESTARTS = 5
POLL_INTERVAL_S = 0.2
"""The interval between two checks of a condition that cannot be waited for."""


class ProgramFailure(RuntimeError):
    """A program ended, or did not become ready; the message has the end of its log."""


class SupervisedProgram:
    """One program with a log of its own. Its process id is in `pid_file`."""

    def __init__(self, folder: Path, name: str, *arguments: str) -> None:
        self.name = name
        self.pid_file = folder / f"{name}.pid"
        # The program ends with the process that started it, in any case.
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
        """:raises ProgramFailure: when it was restarted too often."""
        self._restarts += 1
        if self._restarts > MAX_RESTARTS:
            self.check()
        self.start()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, f"{self.name} was not started"
        return self._process

    def check(self) -> None:
        """:raises ProgramFailure: when it has ended."""
        if self.process.poll() is not None:
            raise ProgramFailure(f"{self.name} ended with {self.process.returncode}:\n{self.log_tail()}")

    def log_tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])

    def stop(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def wait_until_ready(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """:raises ProgramFailure: when it ends before it is ready, or is not in time."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise ProgramFailure(f"{self.name} was not ready in {timeout_s:g} s:\n{self.log_tail()}")
            time.sleep(POLL_INTERVAL_S)


def run_beside(programs: Sequence[SupervisedProgram], command: list[str]) -> int:
    """Run a command to its end. A program that ends is started again, as by a kubelet, up to MAX_RESTARTS times.

    :raises ProgramFailure: when one does not stay up; the command is ended with it.
    """
    with subprocess.Popen(command) as running:
        try:
            while running.poll() is None:
                _await_any_end([running, *(program.process for program in programs)])
                for program in programs:
                    if program.process.poll() is not None:
                        program.restart()
        except BaseException:
            _end(running)
            raise
    return running.returncode


def _end(running: subprocess.Popen[bytes]) -> None:
    """Interrupt the command; a Ctrl-C of the terminal has reached it too."""
    running.send_signal(signal.SIGINT)
    try:
        running.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        running.kill()


def _await_any_end(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    with selectors.DefaultSelector() as selector:
        handles = [os.pidfd_open(process.pid) for process in processes if process.returncode is None]
        try:
            for handle in handles:
                selector.register(handle, selectors.EVENT_READ)
            selector.select()
        finally:
            for handle in handles:
                os.close(handle)
