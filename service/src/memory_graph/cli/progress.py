"""A progress bar on interactive terminals."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

import click


class ProgressBar:
    """A bar on stderr when that is a terminal; silent otherwise.

    total: how much there is, None when it is not known. unit: `bytes`, or what is counted.
    """

    def __init__(self, title: str, total: int | None, *, unit: str) -> None:
        self._bar = None
        if not sys.stderr.isatty():
            return
        from rich import progress  # noqa: PLC0415 - rich is slow to import
        from rich.console import Console  # noqa: PLC0415

        amount: progress.ProgressColumn = (
            progress.DownloadColumn() if unit == "bytes" else progress.MofNCompleteColumn()
        )
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            amount,
            progress.TextColumn("" if unit == "bytes" else unit),
            progress.TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task(title, total=total)

    def advance(self, amount: int) -> None:
        if self._bar is not None:
            self._bar.advance(self._task, amount)

    def say(self, line: str) -> None:
        """Prints a line on standard output, above the bar where both are on a terminal."""
        if self._bar is None or not sys.stdout.isatty():
            click.echo(line)
        else:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
