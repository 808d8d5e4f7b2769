"""Options that take a time: `2h`, or `2026-11-21T09:00:00Z`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

_AGO = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_time_ms(text: str, now: datetime | None = None) -> int:
    """Parse a time as milliseconds since 1970-01-01T00:00:00Z. One without an offset is in this machine's zone.

    Raises:
        ValueError: the text is no time.
    """
    ago = _AGO.fullmatch(text)
    if ago:
        time = (now or datetime.now(UTC)) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    else:
        time = datetime.fromisoformat(text.upper()).astimezone()
    return int(time.timestamp() * 1000)


def time_option(_context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Parse an option that takes a time, as milliseconds since 1970-01-01T00:00:00Z."""
    if value is None:
        return None
    try:
        return parse_time_ms(value)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{value!r} is no time; give one like 2h or 2026-11-21T09:00:00Z", param=parameter
        ) from None
