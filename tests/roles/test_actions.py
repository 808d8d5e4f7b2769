"""The checkout's actions that ask programs and hash sources in the process of the task."""

from __future__ import annotations

import hashlib
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from .conftest import CHECKOUT


def loaded(name: str) -> ModuleType:
    """An action plugin of the checkout."""
    spec = importlib.util.spec_from_file_location(name, CHECKOUT / f"plugins/action/{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("argv", "stdin", "expected"),
    [
        (["echo", "a b"], None, {"rc": 0, "stdout": "a b", "stdout_lines": ["a b"], "stderr": ""}),
        (["cat"], "one\ntwo\n\n", {"rc": 0, "stdout": "one\ntwo", "stdout_lines": ["one", "two"]}),
        (["cat"], None, {"rc": 0, "stdout": "", "stdout_lines": []}),
        (["sh", "-c", "echo no >&2; exit 3"], None, {"rc": 3, "stderr": "no", "failed": True}),
        (["/nonexistent/program"], None, {"rc": 127, "failed": True, "msg": "/nonexistent/program: No such file or"
                                          " directory"}),
    ],
    ids=["output", "input", "no input", "failure", "no program"],
)  # fmt: skip
def test_a_command_answers_as_the_module_does(argv, stdin, expected) -> None:
    answer = loaded("local_command").run_command(argv, stdin)
    assert {key: answer.get(key) for key in expected} == expected
    assert answer.get("failed", False) is bool(answer["rc"])


def test_files_that_are_parts_are_hashed_by_content(tmp_path: Path) -> None:
    for name in ("src/a.py", "src/__pycache__/a.pyc", "src/gen/b.py", "README.md", "tests/x.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "src/link.py").symlink_to("a.py")
    rows = loaded("tree_digest").digests(tmp_path, re.compile(r"src/(?!gen/)|README[.]md "))
    assert sorted(rows) == [f"{name} {hashlib.sha256(name.encode()).hexdigest()}" for name in ("README.md", "src/a.py")]
