"""The generated pages of docs/reference are what the code gives, and complete."""

from __future__ import annotations

import subprocess
import sys

from .markdown_pages import ROOT


def test_the_committed_pages_are_what_the_code_gives() -> None:
    check = subprocess.run(
        [sys.executable, "-m", "tools.reference", "--check"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert check.returncode == 0, check.stdout + check.stderr
