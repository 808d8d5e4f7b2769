"""The port to clocks and new ids, which tests replace."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from memory_graph.model import ids


class ClockAndIds(msgspec.Struct, frozen=True, kw_only=True):
    """The sources of time and ids.

    monotonic: for durations, in seconds. now: the time, in nanoseconds since 1970-01-01T00:00:00Z. new_id: makes a
    UUIDv7.
    """

    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], int] = time.time_ns
    new_id: Callable[[], str] = ids.new_id


SYSTEM = ClockAndIds()
"""The clocks of the operating system, and random ids."""
