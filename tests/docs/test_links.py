"""Every relative link and anchor of a Markdown page leads somewhere."""

from __future__ import annotations

import re
import subprocess
from pathlib import PurePosixPath
from urllib.parse import unquote

import pytest

from .markdown_pages import ROOT, anchors, links, pages


@pytest.mark.parametrize("page", pages())
def test_every_link_of_a_page_leads_somewhere(page: str) -> None:
    assert [target for target in links(page) if not leads(page, target)] == []


def leads(page: str, target: str) -> bool:
    path, _, anchor = unquote(target).partition("#")
    file = (ROOT / PurePosixPath(page).parent / path).resolve() if path else ROOT / page
    if not file.exists() or not file.is_relative_to(ROOT):
        return False
    return not anchor or (file.suffix == ".md" and anchor in anchors(str(file.relative_to(ROOT))))


def test_every_page_that_a_file_names_exists() -> None:
    """Docstrings, comments and messages name pages by their path: docs/how-to/…, docs/decisions/0004."""
    output = subprocess.run(
        ["git", "grep", "-hoE", r"docs/[a-z][a-z0-9/-]*(\.md)?"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    pages_named = {name for name in output if name.endswith(".md") or re.search(r"decisions/\d{4}", name)}
    assert pages_named
    missing = [name for name in pages_named if not list(ROOT.glob(name.removesuffix(".md") + "*.md"))]
    assert sorted(missing) == []
