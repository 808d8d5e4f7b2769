"""Times as people give them: `2h`, or `2026-11-21T09:00:00Z`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

_AGO = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def milliseconds(text: str, now: datetime | None = None) -> int:
    """A time as milliseconds since 1970-01-01T00:00:00Z. One without an offset is of this machine's zone.

    Raises:
        ValueError: for what is no time.
    """
    ago = _AGO.fullmatch(text)
    if ago:
        moment = (now or datetime.now(UTC)) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    else:
        moment = datetime.fromisoformat(text.upper()).astimezone()
    return int(moment.timestamp() * 1000)


def moment(_context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Callback of an option that takes a time: milliseconds since 1970-01-01T00:00:00Z."""
    if value is None:
        return None
    try:
        return milliseconds(value)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{value!r} is no time; give one like 2h or 2026-11-21T09:00:00Z", param=parameter
        ) from None
