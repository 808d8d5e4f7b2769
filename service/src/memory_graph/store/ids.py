"""Converts ids and times to their stored form: a UUID to 16 bytes, a time to a 64-bit integer."""

from __future__ import annotations

from memory_graph.model.errors import Invalid, Violation

EARLIEST, LATEST = -(2**63), 2**63 - 1
"""The times a store can tell apart, in nanoseconds: 1677 to 2262."""


def bounded(at: int) -> int:
    """The nearest time that a read can name."""
    return min(max(at, EARLIEST), LATEST)


def storable(field: str, at: int) -> int:
    """A time that is to be stored. Raises `Invalid` for one out of range."""
    if not EARLIEST <= at <= LATEST:
        raise Invalid(Violation(field, "the time is out of range; use one between the years 1678 and 2261"))
    return at


def to_bytes(id: str) -> bytes:
    """The 16 bytes of a UUID in canonical text form. Raises `Invalid` for any other text."""
    try:
        raw = bytes.fromhex(id.replace("-", ""))
    except ValueError:
        raw = b""
    if len(raw) != 16 or len(id) != 36:
        raise Invalid(Violation("id", f"{id[:64]!r} is no UUID; write it like 01890a5d-ac96-774b-bcce-b302099a8057"))
    return raw


def to_text(raw: bytes) -> str:
    """The canonical text form of a UUID."""
    digits = raw.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
