"""Programs beside a command: started again when they end, stopped with it, and never left behind."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from .processes import MAX_RESTARTS, ProgramFailure, SupervisedProgram, run_beside


def program(folder: Path, name: str, script: str) -> SupervisedProgram:
    (folder / "bin").mkdir(exist_ok=True)
    file = folder / "bin" / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    started = SupervisedProgram(folder, name)
    started.start()
    return started


def test_a_program_that_ends_is_started_again(tmp_path: Path) -> None:
    first = f"[ -e {tmp_path}/again ] || {{ touch {tmp_path}/again; exit 1; }}"
    flaky = program(tmp_path, "flaky", f"{first}\nmkfifo {tmp_path}/up\necho up > {tmp_path}/up\nexec sleep 60")
    waits = f"until [ -p {tmp_path}/up ]; do sleep 0.05; done; cat {tmp_path}/up"
    assert run_beside([flaky], ["sh", "-c", waits]) == 0
    assert flaky.process.poll() is None
    flaky.stop()
    assert flaky.process.poll() is not None


def test_a_program_that_does_not_stay_up_ends_the_command(tmp_path: Path) -> None:
    broken = program(tmp_path, "broken", "echo no disk left; exit 3")
    with pytest.raises(ProgramFailure, match=r"broken ended with 3:\n(no disk left\n?)+"):
        run_beside([broken], [sys.executable, "-c", "import signal; signal.pause()"])
    assert (tmp_path / "broken.log").read_text().count("no disk left") == MAX_RESTARTS + 1


def test_the_status_of_the_command_is_passed_on(tmp_path: Path) -> None:
    steady = program(tmp_path, "steady", "exec sleep 60")
    assert run_beside([steady], ["sh", "-c", "exit 7"]) == 7
    steady.stop()


def test_a_program_that_is_not_ready_in_time_is_named_with_its_log(tmp_path: Path) -> None:
    slow = program(tmp_path, "slow", "echo still loading; exec sleep 60")
    (tmp_path / "slow.log").write_text("still loading\n")
    with pytest.raises(ProgramFailure, match="slow was not ready in 0 s:\nstill loading"):
        slow.wait_until_ready(lambda: False, 0)
    os.kill(slow.process.pid, 9)
    slow.process.wait()
