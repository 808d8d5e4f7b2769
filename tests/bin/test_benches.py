"""A bench that cannot run says so before any of them has taken its minutes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
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


def test_a_package_that_a_deployment_alone_does_not_install_is_named_with_the_way_out() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, "grpc"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == "benches: psutil is not installed: run `make bench`, or bin/setup dev first\n"
    assert done.returncode == 1


def test_what_the_benches_import_is_installed() -> None:
    benches = sorted((ROOT / "service" / "benches").glob("*_bench.py"))
    assert benches
    program = "import runpy, sys\nfor file in sys.argv[1:]: runpy.run_path(file, run_name='imported')"
    done = subprocess.run(
        [sys.executable, "-c", program, *benches], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
