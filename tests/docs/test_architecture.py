"""The tables of docs/explanation/architecture.md name files that exist, and every file of module_utils."""

from __future__ import annotations

import re
from pathlib import Path

from .markdown_pages import ROOT

PAGE = (ROOT / "docs/explanation/architecture.md").read_text()
MODULE_UTILS = ROOT / "collections/ansible_collections/llm_devops/memory_graph/plugins/module_utils"
SERVICE = ROOT / "service/src/memory_graph"


def rows(header: str) -> list[list[str]]:
    table = PAGE[PAGE.index(header) :].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_every_file_of_module_utils_is_in_the_table_by_its_folder() -> None:
    listed = {
        (folder, name)
        for cell, *_, files in rows("| folder | what it does | files |")
        for folder in (re.findall(r"`(\w+)/`", cell) or [""])
        for name in re.findall(r"`(_\w+)`", files)
    }
    files = [path for path in MODULE_UTILS.rglob("_*.py") if path.name != "__init__.py"]
    assert listed == {(path.parent.name if path.parent != MODULE_UTILS else "", path.stem) for path in files}


def test_the_packages_and_files_of_the_service_exist() -> None:
    missing = [
        f"{package}: {name}"
        for packages, meaning in rows("| package | what it is |")
        for package in re.findall(r"`([\w/]+)`", packages)[:1]
        for name in re.findall(r"`([a-z_/]+(?:\.py)?)`", meaning)
        if not exists(SERVICE, package, name)
    ]
    assert missing == []


def exists(source: Path, package: str, name: str) -> bool:
    folders = (source / package, *(source / package).parents)
    return any((folder / name).exists() or (folder / f"{name}.py").exists() for folder in folders[:3])
