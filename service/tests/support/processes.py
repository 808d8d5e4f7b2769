"""Server processes of tests: they end with the test process, however that ends."""

from __future__ import annotations

import ctypes
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

_SET_PARENT_DEATH_SIGNAL = 1
_LOG_TAIL = 20
_libc = ctypes.CDLL(None)


class NotStarted(Exception):
    """A server ended, or was not ready in time; the text holds the end of its log."""


def free_port() -> int:
    """A TCP port of the loopback address that nothing listens on now."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """So many of them."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


class Server:
    """A process that says in its output, which goes to a file, when it is ready. It ends with the thread that makes it.

    ready: what the log then holds. seconds: how long that may take. wait: until then; else `wait_ready` does.
    """

    def __init__(
        self, command: Sequence[str], log: Path, *, ready: str, env: dict[str, str], seconds: float, wait: bool = True
    ) -> None:
        self.log = log
        self._ready, self._seconds = ready, seconds
        self._log_offset = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                start_new_session=True,  # Ctrl-C is the test run's, which then stops its servers in order
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - one call into libc, no lock is taken
            )
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until the server is ready. Raises `NotStarted`."""
        limit = time.monotonic() + self._seconds
        while self._ready not in self.output():
            if self.process.poll() is not None:
                raise NotStarted(f"the server ended with {self.process.returncode}: {self._tail()}")
            if time.monotonic() > limit:
                self.kill()
                raise NotStarted(f"the server was not ready after {self._seconds:.0f} s: {self._tail()}")
            time.sleep(0.1)

    def output(self) -> str:
        """Return what the server has logged since this start."""
        with self.log.open("rb") as opened:
            opened.seek(self._log_offset)
            return opened.read().decode(errors="replace")

    def _tail(self) -> str:
        return "\n".join(self.output().splitlines()[-_LOG_TAIL:])

    def kill(self) -> None:
        """SIGKILL, as a machine that fails."""
        self.process.kill()
        self.process.wait()

    def stop(self, seconds: float = 60) -> None:
        """SIGTERM, and SIGKILL where that is not heard in time. Idempotent."""
        if self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()


def _end_with_parent() -> None:
    _libc.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
