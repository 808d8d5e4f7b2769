"""Numbers in text that others write. Python's own `int` and `float` also take underscores, spaces and any digits."""

from __future__ import annotations

import math
import re

_WHOLE = re.compile(r"-?[0-9]{1,19}")
_NUMBER = re.compile(r"-?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,3})?")
_MOST = 2**63 - 1


def whole(text: str) -> int | None:
    """A whole number of decimal digits that fits 64 bits; None for other text."""
    found = int(text) if _WHOLE.fullmatch(text) else None
    return found if found is not None and -_MOST - 1 <= found <= _MOST else None


def number(text: str) -> float | None:
    """A finite number as JSON writes it; None for other text."""
    found = float(text) if _NUMBER.fullmatch(text) else None
    return found if found is not None and math.isfinite(found) else None
