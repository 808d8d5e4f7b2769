"""Ids: UUIDv7 where the server makes them, any UUID where a client does (contract §1)."""

from __future__ import annotations

import re

import uuid_utils

_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


def new_id() -> str:
    """Make a UUIDv7: later ids of a process sort after earlier ones."""
    return str(uuid_utils.uuid7())


def canonical(value: str) -> str | None:
    """Return the id in lower case, or None if it is no UUID in hyphenated form."""
    return value.lower() if _UUID.fullmatch(value) else None
