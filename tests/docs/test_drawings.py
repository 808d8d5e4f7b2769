"""The drawings of docs/explanation use names that exist.

A drawing begins with the folder of its files (`%% folder`). `participant ID as NAME<br/>FILE` is a class or function of
that file, and a message `A->>B: name()` is a function of B's file, of its class where B is one. A file may stand alone.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from .markdown_pages import ROOT, tokens

PAGES = ("docs/explanation/one-write.md", "docs/explanation/one-deployment.md")
FOLDER = re.compile(r"^\s*%% (\S+)$", re.MULTILINE)
PARTICIPANT = re.compile(r"\s*participant (\w+) as (?:(\w+)<br/>)?([\w./]+\.\w+)")
MESSAGE = re.compile(r"\s*(\w+)-{1,2}>>?[+-]?(\w+): (.*)")
Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def drawings(page: str) -> list[str]:
    return [token.content for token in tokens(page) if token.type == "fence" and token.info.strip() == "mermaid"]


@cache
def definitions(file: Path) -> tuple[Definition, ...]:
    return tuple(node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, Definition))


def missing_names(drawing: str) -> list[str]:
    folder = ROOT / FOLDER.findall(drawing)[0]
    participants: dict[str, tuple[Path, str]] = {}
    missing: list[str] = []
    for line in drawing.splitlines():
        if participant := PARTICIPANT.fullmatch(line):
            alias, definition, name = participant[1], participant[2] or "", participant[3]
            participants[alias] = folder / name, definition
            if not (folder / name).exists():
                missing.append(name)
            elif definition and definition not in [node.name for node in definitions(folder / name)]:
                missing.append(f"{name}: {definition}")
        elif (message := MESSAGE.fullmatch(line)) and message[2] in participants:
            file, definition = participants[message[2]]
            functions = re.findall(r"(\w+)\(", message[3]) if file.suffix == ".py" and file.exists() else []
            missing += [f"{message[2]}: {name}()" for name in functions if not is_defined(file, definition, name)]
    return missing


def is_defined(file: Path, definition: str, called: str) -> bool:
    owner = next((node for node in definitions(file) if node.name == definition), None)
    within = ast.walk(owner) if isinstance(owner, ast.ClassDef) else definitions(file)
    return any(isinstance(node, Definition) and node.name == called for node in within)


@pytest.mark.parametrize("page", PAGES)
def test_the_names_of_the_drawings_exist(page: str) -> None:
    drawn = drawings(page)
    assert len(drawn) >= 2
    assert [name for drawing in drawn for name in missing_names(drawing)] == []
    for drawing in drawn:
        assert len(PARTICIPANT.findall(drawing)) >= 3
        assert drawing.count("participant ") == len(PARTICIPANT.findall(drawing)), "a participant is not understood"


def test_a_name_that_does_not_exist_is_found() -> None:
    drawing = """
    %% service/src/memory_graph
    participant Writer as BatchingWriter<br/>store/writer.py
    participant Nobody as NobodyAtAll<br/>store/writer.py
    participant Nowhere as store/nowhere.py
    Nobody->>Writer: submit()
    Nobody->>Writer: vanish(write)
    """
    assert missing_names(drawing) == ["store/writer.py: NobodyAtAll", "store/nowhere.py", "Writer: vanish()"]
