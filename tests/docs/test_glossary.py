"""The glossary has every noun once, in alphabetical order, with one line each."""

from __future__ import annotations

from .markdown_pages import ROOT


def test_the_nouns_are_unique_and_in_alphabetical_order() -> None:
    rows = [row for row in (ROOT / "docs/glossary.md").read_text().splitlines() if row.startswith("| ")][1:]
    nouns = [row.split("|")[1].strip() for row in rows]
    assert len(nouns) > 50
    assert nouns == sorted(set(nouns), key=str.lower)
