"""Runs of the collection's modules, each in a process of its own whose costs are read when it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import Any

from .programs import ROOT


@dataclass(frozen=True)
class ModuleRun:
    """The result of a module, and the CPU seconds and memory of its process."""

    answer: dict[str, Any]
    cpu_seconds: float
    memory_mib: float

    @property
    def calls(self) -> int:
        return int(self.answer["api_calls"])


# The kernel counts what the forking process had into the child's ru_maxrss, but not into the peak of its own memory.
PEAK_REPORTER = """
import atexit, pathlib, runpy, sys
status = pathlib.Path("/proc/self/status")
atexit.register(lambda: print(status.read_text().split("VmHWM:")[1].split()[0], file=sys.stderr))
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def run_module(module: str, *, check: bool = False, **arguments: Any) -> ModuleRun:
    """Run a module in a process of its own."""
    parameters = json.dumps(
        {"ANSIBLE_MODULE_ARGS": {**arguments, "_ansible_check_mode": check, "_ansible_diff": check}}
    )
    command = [
        sys.executable,
        "-c",
        PEAK_REPORTER,
        f"ansible_collections.llm_devops.memory_graph.plugins.modules.{module}",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "collections")}
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as peak:
        stdin.write(parameters.encode())
        stdin.seek(0)
        process = subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=peak, env=environment)
        _pid, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)  # Popen must not wait for it again
        stdout.seek(0)
        peak.seek(0)
        text, kibibytes = stdout.read().decode(), peak.read().decode()
    assert text.lstrip().startswith("{"), text + kibibytes
    answer: dict[str, Any] = json.loads(text)
    assert not answer.get("failed"), answer["msg"]
    return ModuleRun(answer, usage.ru_utime + usage.ru_stime, int(kibibytes.split()[-1]) / 1024)
