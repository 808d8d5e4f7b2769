"""Lines of prose are at most 120 columns wide; tables, code and a link that alone is longer excepted."""

from __future__ import annotations

import pytest

from .markdown_pages import ROOT, pages, tokens

COLUMNS = 120


@pytest.mark.parametrize("page", pages())
def test_prose_is_at_most_120_columns_wide(page: str) -> None:
    lines = (ROOT / page).read_text().splitlines()
    prose = {
        number
        for token in tokens(page)
        if token.type in ("paragraph_open", "heading_open") and token.map is not None
        for number in range(*token.map)
    }
    wide = [number for number in sorted(prose) if len(lines[number]) > COLUMNS and can_be_broken(lines[number])]
    assert [f"{page}:{number + 1}" for number in wide] == []


def can_be_broken(line: str) -> bool:
    return " " in line.strip().lstrip("-*0123456789.# ")
