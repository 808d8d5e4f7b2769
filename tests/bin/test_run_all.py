"""`bin/run-all`: targets side by side, none hidden by another that fails, counted by the runners' closing lines."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "bin/run-all"
LIMIT_S = 60
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Starts the script in a checkout that has these targets: start("--jobs", "2", target=recipe)."""

    def run(*options: str, **recipes: str) -> subprocess.Popen[str]:
        (tmp_path / "bin").mkdir()
        script = shutil.copy(SCRIPT, tmp_path / "bin")
        text = "".join(f"{name}:\n\t@{recipe}\n" for name, recipe in recipes.items())
        (tmp_path / "Makefile").write_text(f".PHONY: {' '.join(recipes)}\n{text}")
        return subprocess.Popen(
            [script, *options, *recipes], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    return run


def wait_for(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    """Return the exit code of the script and the lines of its output."""
    output, _ = process.communicate(timeout=LIMIT_S)
    return process.returncode, output.splitlines()


def test_the_last_line_adds_up_what_test_runners_closed_with(start: Start) -> None:
    status, lines = wait_for(
        start(
            units="echo '=== 3 passed, 1 skipped, 2 warnings in 62.17s (0:01:02) ==='",
            quiet="echo '5 passed in 0.10s'",
            coloured=r"printf '\033[32m=== \033[1m2 passed\033[0m in 0.01s ===\033[0m\n'",
            framed="echo '│ === 7 passed in 1.00s ==='",
            checks="echo '8 passed, 0 failed'; echo '4 passed of something else'",
        )
    )
    assert status == 0
    assert lines[-1] == "25 passed, 0 failed, 1 skipped"


def test_a_failure_hides_no_other_target(start: Start) -> None:
    status, lines = wait_for(
        start(
            first="echo '=== 1 failed, 2 passed, 1 error in 0.10s ==='; exit 1",
            broken="echo no test ran; exit 2",
            last="echo '=== 4 passed in 0.10s ==='",
        )
    )
    assert status == 1
    assert lines[-1] == "6 passed, 3 failed, 0 skipped", "a target that failed before it counted is one failure"
    assert "no test ran" in lines
    summary = lines[lines.index("== summary") :]
    assert [line.split()[1] for line in summary if line.split()[0] in ("first", "broken", "last")] == [
        "FAILED", "FAILED", "ok",
    ]  # fmt: skip


def test_the_summary_names_each_test_that_failed_and_why(start: Start, tmp_path: Path) -> None:
    """The summary is enough where only the end of a long output is at hand; Molecule draws a bar before each line."""
    (tmp_path / "test_of_the_day.py").write_text(
        "import pytest\n\n@pytest.fixture\ndef broken():\n    raise ValueError('no\\nfixture')\n\n"
        "def test_reads(broken):\n    pass\n\nclass TestSums:\n    def test_adds(self):\n        assert 1 + 1 == 3\n\n"
        "def test_holds():\n    print('E   not a failure')\n"
    )
    pytest = f"{sys.executable} -m pytest -p no:cacheprovider --color=yes"
    status, lines = wait_for(start(units=f"{pytest} | sed 's/^/  │ /'; exit 1", other="true"))
    assert status == 1
    summary = lines[lines.index("== summary") :]
    failures = summary[summary.index("== units: what failed") + 1 : -2]
    assert failures == [
        "ERROR at setup of test_reads", "    ValueError: no", "    fixture",
        "TestSums.test_adds", "    assert (1 + 1) == 3",
    ]  # fmt: skip
    assert summary[-1] == "1 passed, 2 failed, 0 skipped"


def test_outputs_of_targets_beside_each_other_are_kept_apart(start: Start, tmp_path: Path) -> None:
    """Each waits for the other, so they do run at the same time."""
    meet = "echo {0} one; touch {0}.up; until test -e {1}.up; do sleep 0.05; done; echo {0} two"
    targets = {"left": meet.format("left", "right"), "right": meet.format("right", "left")}
    status, lines = wait_for(start("--jobs", "2", **targets))
    assert status == 0, lines
    for name in ("left", "right"):
        assert lines[lines.index(f"{name} one") + 1] == f"{name} two"
        assert (tmp_path / f".cache/runs/{name}.log").read_text() == f"{name} one\n{name} two\n"


def test_an_interrupt_ends_what_runs_and_starts_nothing_more(start: Start, tmp_path: Path) -> None:
    process = start(long="touch up; sleep 600", never="touch ran")
    limit = time.monotonic() + LIMIT_S
    while not (tmp_path / "up").exists():
        assert time.monotonic() < limit
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    status, lines = wait_for(process)
    assert status == 130
    assert not (tmp_path / "ran").exists()
    assert any(line.split() == ["never", "not", "run"] for line in lines)
