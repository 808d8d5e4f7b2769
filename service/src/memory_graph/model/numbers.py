"""Strict parsing of numbers. Python's own `int` and `float` also accept underscores, spaces and any digits."""

from __future__ import annotations

import math
import re

_WHOLE = re.compile(r"-?[0-9]{1,19}")
_NUMBER = re.compile(r"-?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,3})?")
_INT64_MAX = 2**63 - 1


def whole(text: str) -> int | None:
    """Parse a whole number in decimal digits that fits 64 bits; None for other text."""
    value = int(text) if _WHOLE.fullmatch(text) else None
    return value if value is not None and -_INT64_MAX - 1 <= value <= _INT64_MAX else None


def number(text: str) -> float | None:
    """Parse a finite number in the notation of JSON; None for other text."""
    value = float(text) if _NUMBER.fullmatch(text) else None
    return value if value is not None and math.isfinite(value) else None
