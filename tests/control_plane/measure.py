"""Modules of the collection, each run in a process of its own whose costs are read when it ends."""

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
class Measured:
    """What a module answered, and what that cost its process."""

    answer: dict[str, Any]
    cpu_seconds: float
    memory_mib: float

    @property
    def calls(self) -> int:
        return int(self.answer["api_calls"])


# The kernel counts what the forking process had into the child's ru_maxrss, but not into the peak of its own memory.
TOLD = """
import atexit, pathlib, runpy, sys
status = pathlib.Path("/proc/self/status")
atexit.register(lambda: print(status.read_text().split("VmHWM:")[1].split()[0], file=sys.stderr))
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def measured(module: str, *, check: bool = False, **arguments: Any) -> Measured:
    """Runs a module in a process of its own."""
    given = json.dumps({"ANSIBLE_MODULE_ARGS": {**arguments, "_ansible_check_mode": check, "_ansible_diff": check}})
    command = [sys.executable, "-c", TOLD, f"ansible_collections.llm_devops.memory_graph.plugins.modules.{module}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "collections")}
    with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as peak:
        asked.write(given.encode())
        asked.seek(0)
        process = subprocess.Popen(command, stdin=asked, stdout=said, stderr=peak, env=environment)
        _pid, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)  # it has been awaited: it need not do so itself
        said.seek(0)
        peak.seek(0)
        text, kibibytes = said.read().decode(), peak.read().decode()
    assert text.lstrip().startswith("{"), text + kibibytes
    answer: dict[str, Any] = json.loads(text)
    assert not answer.get("failed"), answer["msg"]
    return Measured(answer, usage.ru_utime + usage.ru_stime, int(kibibytes.split()[-1]) / 1024)
