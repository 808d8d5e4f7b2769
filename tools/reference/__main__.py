"""`python -m tools.reference` writes the generated pages; with --check it names those that are out of date."""

from __future__ import annotations

import sys

from tools.reference.pages import PAGES, ROOT


def main() -> int:
    """Exit code 1 where --check finds a page that is not what the code gives."""
    outdated = 0
    for name, page in PAGES.items():
        path = ROOT / "docs/reference" / name
        text = page()
        if path.is_file() and path.read_text() == text:
            continue
        outdated += 1
        if "--check" in sys.argv[1:]:
            print(f"docs/reference/{name} is not what the code gives: run make docs")
        else:
            path.write_text(text)
            print(f"wrote docs/reference/{name}")
    return int(outdated > 0 and "--check" in sys.argv[1:])


sys.exit(main())
