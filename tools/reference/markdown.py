"""Markdown that is the same for the same content."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import fill

COLUMNS = 120


def document(title: str, source: str, *sections: str) -> str:
    """A page with its title, a note that says where it comes from, and its sections.

    source: what the page is generated from, in Markdown.
    """
    origin = paragraph(f"Generated from {source} by `make docs`: change it there.")
    return "\n\n".join((f"# {title}", origin, *sections)) + "\n"


def paragraph(text: str) -> str:
    """Text wrapped to the width of the documentation."""
    return fill(" ".join(text.split()), COLUMNS, break_long_words=False, break_on_hyphens=False)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells may hold Markdown."""
    lines = [f"| {' | '.join(map(cell, line))} |" for line in (header, *rows)]
    return "\n".join((lines[0], "|---" * len(header) + "|", *lines[1:]))


def cell(text: str) -> str:
    """Text that stays in its cell."""
    return " ".join(text.split()).replace("|", "\\|")


def code(text: str) -> str:
    """Text as code; nothing for an empty one."""
    return f"`{text}`" if text else ""


def listing(text: str) -> str:
    """Text as a block of code."""
    return f"```text\n{text.rstrip()}\n```"
