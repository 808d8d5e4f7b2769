"""A real server process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

START_LIMIT_S = 180
STOP_LIMIT_S = 180


class ServerProcess:
    """`memory-graph serve` on free ports; `log` holds its log lines so far."""

    command = "serve"
    ready = "listening"
    """The log line that says so."""

    def __init__(self, data: Path, env: dict[str, str]) -> None:
        self.data = data
        free = {"GRPC_PORT": "0", "METRICS_PORT": "0", "REST_PORT": "0"}
        settings = {"DB_PATH": str(data), "LOG_LEVEL": "info", **free, **env}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "memory_graph.cli", self.command],
            env={**os.environ, **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.log: list[dict[str, object]] = []
        self.output: list[str] = []
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(line)
            if line.startswith("{"):
                self.log.append(json.loads(line))
                if self.log[-1]["message"] == self.ready:
                    self._ready.set()
        self._ready.set()

    def wait_ready(self) -> ServerProcess:
        assert self._ready.wait(START_LIMIT_S), "the server did not start in time"
        listening = next((line for line in self.log if line["message"] == self.ready), None)
        assert listening is not None, f"the server ended: {''.join(self.output)}"
        self.port = int(str(listening.get("grpc_port", 0)))
        self.metrics_port = int(str(listening["metrics_port"]))
        self.rest_port = int(str(listening.get("rest_port", 0)))
        self.address = f"127.0.0.1:{self.port}"
        return self

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal and returns the exit code."""
        self.process.send_signal(number)
        return self.wait()

    def standing(self) -> str:
        """Whether it runs, and what it said last: for the words of an assertion."""
        code = self.process.poll()
        state = "it runs" if code is None else f"it ended with {code}"
        return f"{state}; it said last: {''.join(self.output[-30:])}"

    def wait(self) -> int:
        """Waits for its end and returns the exit code."""
        try:
            code = self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end in {STOP_LIMIT_S} s: {self.standing()}") from None
        self._reader.join(STOP_LIMIT_S)
        return code


Serve = Callable[..., ServerProcess]
