"""Output for terminals: times, texts and tables."""

from __future__ import annotations

import datetime as dt
import sys
import unicodedata
from collections.abc import Iterable, Sequence

from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PIPE_WIDTH = 200


def console(*, stderr: bool = False) -> Console:
    """A console that neither guesses markup in texts nor folds lines of what is piped on."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(
        stderr=stderr, markup=False, highlight=False, emoji=False, width=None if stream.isatty() else _PIPE_WIDTH
    )


def clean(text: str) -> str:
    """Put a text on one line, without control characters: stored content must not control the terminal."""
    return " ".join("".join(" " if unicodedata.category(char) in ("Cc", "Cf") else char for char in text).split())


def excerpt(text: str, length: int = 60) -> str:
    """The beginning of a text, cleaned."""
    line = clean(text[: length * 4])
    return line if len(line) <= length and len(text) <= length * 4 else line[: length - 1].rstrip() + "…"


def local_time(stamp: Timestamp, *, with_date: bool = False) -> str:
    """A time in the zone of this machine."""
    time = dt.datetime.fromtimestamp(stamp.seconds + stamp.nanos / 1e9, tz=dt.UTC).astimezone()
    return time.strftime("%Y-%m-%d %H:%M:%S" if with_date else "%H:%M:%S")


def duration(ms: float) -> str:
    """`840 ms` or `2.9 s`."""
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.1f} s"


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A plain table; the last column is cut where the line ends."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for index, title in enumerate(header):
        last = index == len(header) - 1
        table.add_column(title, no_wrap=True, overflow="ellipsis" if last else "fold", ratio=1 if last else None)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console().print(table)
