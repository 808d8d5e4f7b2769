"""The Markdown pages of the checkout, as the tests of this folder read them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
_PARSER = MarkdownIt("commonmark").enable("table")


@cache
def pages() -> tuple[str, ...]:
    """Every Markdown file that git knows or would take, by its path in the checkout."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    return tuple(sorted(name for name in set(listed) if (ROOT / name).is_file()))


@cache
def tokens(page: str) -> tuple[Token, ...]:
    """The tokens of a page, each inline token behind the block it stands in."""
    return tuple(_flat(_PARSER.parse((ROOT / page).read_text())))


def _flat(blocks: list[Token]) -> Iterator[Token]:
    for token in blocks:
        yield token
        yield from _flat(token.children or [])


@cache
def anchors(page: str) -> frozenset[str]:
    """The anchors that GitHub makes of a page's headings."""
    slugs: dict[str, int] = {}
    for token, inline in zip(tokens(page), tokens(page)[1:], strict=False):
        if token.type == "heading_open":
            text = "".join(part.content for part in inline.children or [])
            slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            slugs[slug] = slugs.get(slug, -1) + 1
    return frozenset(f"{slug}-{i}" if i else slug for slug, last in slugs.items() for i in range(last + 1))


def links(page: str) -> list[str]:
    """The targets of a page's links and images, without those of other sites."""
    targets = [str(token.attrs.get("href") or token.attrs.get("src") or "") for token in tokens(page)]
    return [target for target in targets if target and not re.match(r"[a-z]+:", target)]
