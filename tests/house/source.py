"""The Python files of the checkout, parsed once for every rule of the house."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Source:
    """A Python file: its path below the checkout, its text and its syntax tree."""

    path: str
    text: str
    tree: ast.Module

    def classes(self) -> Iterator[ast.ClassDef]:
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef))

    def defined_names(self) -> Iterator[tuple[int, str]]:
        """Line and name of each variable, parameter, attribute, function, class and import alias defined here."""
        for node in ast.walk(self.tree):
            match node:
                case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                    yield node.lineno, name
                case ast.arg(arg=name) | ast.alias(asname=str(name)):
                    yield node.lineno, name
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                    yield node.lineno, name

    def docstrings(self) -> Iterator[tuple[int, str]]:
        """Line and text of each docstring; the module's stands on line 1."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                docstring = ast.get_docstring(node)
                if docstring:
                    yield getattr(node, "lineno", 1), docstring


def parse(path: str, text: str) -> Source:
    return Source(path, text, ast.parse(text))


@cache
def sources() -> tuple[Source, ...]:
    """All Python files that git tracks or would add; what a build generates is none of them."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    paths = [path for path in sorted(set(listed)) if (ROOT / path).exists()]
    return tuple(parse(path, (ROOT / path).read_text()) for path in paths)
