"""Values of JSON as the text that metadata holds."""

from __future__ import annotations

import msgspec

Scalar = str | int | float | bool | None


def text(value: object) -> str:
    """A value as JSON writes it, a string as it is."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
