"""Ids: UUIDv7 where the server makes them, any UUID where a client does (contract §1)."""

from __future__ import annotations

import re

import uuid_utils

_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


def new_id() -> str:
    """A UUIDv7: later ids of a process sort after earlier ones."""
    return str(uuid_utils.uuid7())


def canonical(value: str) -> str | None:
    """The id in lower case, or None for what is no UUID in hyphenated form."""
    return value.lower() if _UUID.fullmatch(value) else None
