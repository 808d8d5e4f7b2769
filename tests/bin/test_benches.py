"""`python -m benches`: a bench that cannot run is refused at once, and two checkouts are compared in pairs."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("beside", ROOT / "benches" / "beside.py")
assert SPEC
assert SPEC.loader
beside = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(beside)
WITHOUT = """
import runpy, sys
from importlib.machinery import PathFinder

class Missing:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return None if name == "psutil" else PathFinder.find_spec(name, path, target)

sys.meta_path = [finder for finder in sys.meta_path if finder is not PathFinder] + [Missing]
sys.argv = ["benches", *sys.argv[1:]]
runpy.run_module("benches", run_name="__main__", alter_sys=True)
"""


def test_a_missing_package_is_named_with_the_way_out() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, "grpc"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == "benches: psutil is not installed: run `make bench`, or bin/setup dev first\n"
    assert done.returncode == 1


def test_every_import_of_the_benches_is_installed() -> None:
    benches = sorted((ROOT / "service" / "benches").glob("*_bench.py"))
    assert benches
    program = "import runpy, sys\nfor file in sys.argv[1:]: runpy.run_path(file, run_name='imported')"
    done = subprocess.run(
        [sys.executable, "-c", program, *benches], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def checkout(root: Path, script: str) -> Path:
    """Return a checkout whose bench is this script; it appends the checkout's name to the file `order` beside it."""
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (root / "bench.py").write_text(f"open('../order', 'a').write('{root.name} ')\n{script}")
    return root


def test_two_checkouts_are_run_in_turn_and_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {"writes": {"per_s": 200.0, "only_old": 1.0}, "sides": {"helm": {"calls": 0, "memory": None}}}
    old = checkout(tmp_path / "old", f"print({json.dumps(figures)!r})")
    program = 'print(\'{"writes": {"per_s": %d}, "sides": {"helm": {"calls": 0}}}\' % rate)'
    runs = "rate = 200 if open('../order').read().count('new') == 1 else 250"
    monkeypatch.setattr(beside, "ROOT", checkout(tmp_path / "new", f"{runs}\n{program}"))
    writes, calls, whole = beside.compare(["bench.py"], old, pairs=2)
    assert (tmp_path / "order").read_text() == "old new new old "
    assert writes == ("writes", "per_s", 200.0, 225.0, [1.0, 1.25])
    assert calls == ("sides, helm", "calls", 0, 0, [1.0, 1.0])
    assert (whole.case, whole.figure) == ("the whole run", "cpu_s")
    assert whole.new > 0
    table = list(beside.lines("store", [writes]))
    assert table[1].split() == ["writes", "per_s", "200.00", "225.00", "1.125", "1.000", "to", "1.250"]


@pytest.mark.parametrize(("script", "reason"), [("raise SystemExit(3)", "bench.py failed in"), (None, "make setup")])
def test_a_checkout_that_cannot_run_is_named(tmp_path: Path, script: str | None, reason: str) -> None:
    old = checkout(tmp_path / "old", script) if script else tmp_path / "old"
    with pytest.raises(RuntimeError, match=reason) as refused:
        beside.compare(["bench.py"], old, pairs=1)
    assert str(old) in str(refused.value)
