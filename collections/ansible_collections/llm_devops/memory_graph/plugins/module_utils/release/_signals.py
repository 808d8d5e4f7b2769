# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Signals that stop a run: it releases its lock, and leaves a state from which the next run continues."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """A signal to end the process. No error of a cluster: nobody below may catch it and go on."""


def _raise(number: int, _frame: FrameType | None) -> NoReturn:
    for other in SIGNALS:  # a second signal must not cut short what the first one cleans up
        signal.signal(other, signal.SIG_IGN)
    raise Interrupted(signal.Signals(number).name)


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise :class:`Interrupted` within the block on SIGINT, SIGTERM and SIGHUP, once. Main thread only."""
    before = {number: signal.signal(number, _raise) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
