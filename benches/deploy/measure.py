"""The time or the memory that one run of a command takes."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from .tools import ROOT

SAMPLE_INTERVAL_S = 0.02
MIB = 1 << 20


@dataclass(frozen=True)
class Command:
    """A command line, its environment beside that of the bench, and whether an Ansible module does the work."""

    argv: list[str]
    environment: Mapping[str, str]
    in_module: bool = False


@dataclass(frozen=True)
class MemoryPeaks:
    """Peaks of memory in MiB.

    ``process`` is the resident memory of the process that talks to the API server: of an Ansible module the one it runs
    in, else the command itself. ``tree`` is the command with all its processes; pages they share count once (PSS).
    """

    process: float
    tree: float


@dataclass(frozen=True)
class Timing:
    """Seconds of wall time of a command, seconds of CPU of it and of the processes it waited for, and its output."""

    seconds: float
    cpu_seconds: float
    output: str


def time_command(command: Command) -> Timing:
    """Run the command to its end and return its time and output.

    :raises RuntimeError: with the end of its output, when it failed.
    """
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        command.argv,
        cwd=ROOT,
        env={**os.environ, **command.environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{Path(command.argv[0]).name} failed:\n{done.stdout[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Timing(took, cpu, done.stdout)


def measure_memory(command: Command) -> MemoryPeaks:
    """Run the command and return its peaks of memory. Not for timing: the sampling costs time.

    :raises RuntimeError: with the end of its output, when it failed.
    """
    peaks = MemoryPeaks(0.0, 0.0)
    with tempfile.TemporaryFile("w+") as output:
        environment = {**os.environ, **command.environment}
        process = psutil.Popen(
            command.argv, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        while process.poll() is None:
            now = _sample(process, command.in_module)
            peaks = MemoryPeaks(max(peaks.process, now.process), max(peaks.tree, now.tree))
            time.sleep(SAMPLE_INTERVAL_S)
        if process.returncode:
            output.seek(0)
            raise RuntimeError(f"{Path(command.argv[0]).name} failed:\n{output.read()[-2000:]}")
    return MemoryPeaks(peaks.process, max(peaks.process, peaks.tree))


def _sample(root: psutil.Process, in_module: bool) -> MemoryPeaks:
    tree, largest = 0.0, 0.0
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
                tree += process.memory_full_info().pss / MIB
                # Ansible forks itself for a task, which forks or starts the process that the module runs in.
                if not in_module or process.ppid() not in (root.pid, os.getpid()):
                    largest = max(largest, _peak_resident(process.pid))
    return MemoryPeaks(largest, tree)


def _peak_resident(pid: int) -> float:
    """MiB; the kernel's own high-water mark, proc(5), misses no peak between two samples."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0
