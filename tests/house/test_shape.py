"""Files and constructors stay small enough to be read in one look (CONTRIBUTING.md)."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .source import Source, parse, sources

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 62
MAX_CONSTRUCTOR_ARGUMENTS = 7


def long_files(source: Source) -> Iterator[str]:
    lines = source.text.count("\n")
    if lines > MAX_FILE_LINES:
        yield f"{source.path}: {lines} lines, at most {MAX_FILE_LINES}: split it by idea"


def long_functions(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                yield f"{source.path}:{node.lineno}: {node.name} has {lines} lines, at most {MAX_FUNCTION_LINES}"


def wide_constructors(source: Source) -> Iterator[str]:
    for definition in source.classes():
        for node in definition.body:
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                count = len(node.args.posonlyargs) + len(node.args.args) + len(node.args.kwonlyargs) - 1
                if count > MAX_CONSTRUCTOR_ARGUMENTS:
                    yield (
                        f"{source.path}:{node.lineno}: {definition.name} takes {count} arguments, at most "
                        f"{MAX_CONSTRUCTOR_ARGUMENTS}: put settings into an object of their own"
                    )


def test_files_are_read_in_one_sitting() -> None:
    assert [line for source in sources() for line in long_files(source)] == []


def test_functions_fit_a_screen() -> None:
    assert [line for source in sources() for line in long_functions(source)] == []


def test_constructors_take_few_arguments() -> None:
    assert [line for source in sources() for line in wide_constructors(source)] == []


def test_the_limits_are_seen() -> None:
    arguments = ", ".join(f"argument_{number}" for number in range(MAX_CONSTRUCTOR_ARGUMENTS + 1))
    body = "\n".join("        pass" for _line in range(MAX_FILE_LINES))
    source = parse("a.py", f"class Offset:\n    def __init__(self, {arguments}):\n{body}\n")
    assert [len(list(rule(source))) for rule in (long_files, long_functions, wide_constructors)] == [1, 1, 1]
