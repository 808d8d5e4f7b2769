# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""How long a cluster that is away is waited for, and what is told about it. The clock is injected.

One bound holds for the whole run and not for each request: while the API server is away, every thread waits for the
same return, and once it has been away for too long nobody waits any more. Otherwise 1,000 objects would wait in turn.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from .._errors import ClusterError

SECONDS = 60.0
LONGEST_PAUSE = 30.0
NOTICEABLE = 3.0  # seconds; what is shorter is nobody's concern
GAP = 2 * LONGEST_PAUSE + 10  # seconds without any try, in which the server may well have been there
QUICK = 4  # tries where waiting rarely helps, such as HTTP 500: about 1.5 s


@dataclass(frozen=True)
class Trouble:
    """Why one try failed. ``error`` is what is raised when trying again is over.

    :param pause: seconds the server asked for (``Retry-After``), else 0.
    :param most: how many tries may fail alike, 0: as many as patience allows.
    """

    error: ClusterError
    what: str
    pause: float = 0.0
    most: int = 0


class Patience:
    """Shared by all threads of one run against one API server."""

    def __init__(self, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self._clock = seconds, clock
        self._lock = threading.Lock()
        self._since: float | None = None
        self._seen = 0.0
        self._what = ""
        self._again = 0
        self._told = False

    def exhausted(self) -> bool:
        """Whether the server has been away for too long, as somebody saw only just now."""
        with self._lock:
            away = self._since is not None and self._seen - self._since >= self.seconds
            return away and self._clock() - self._seen < LONGEST_PAUSE

    def failed(self, what: str) -> float:
        """Note a failed try; returns for how many seconds nothing has worked."""
        with self._lock:
            now = self._clock()
            if self._since is None or now - self._seen > GAP:
                self._since, self._again, self._told = now, 0, False
            self._seen = now
            self._what, self._again = what, self._again + 1
            return self._seen - self._since

    def news(self) -> str:
        """Once for each absence, as soon as it is worth mentioning: a sentence, else nothing."""
        with self._lock:
            if self._told or self._since is None or self._seen - self._since < NOTICEABLE:
                return ""
            self._told = True
            return f"does not answer ({self._what}); it is waited for, {self.seconds:.0f} s at most"

    def answered(self) -> str:
        """Note a try that worked; returns a sentence when it ended an absence worth mentioning."""
        if self._since is None:  # the usual case needs no lock
            return ""
        with self._lock:
            if self._since is None:
                return ""
            away, again, self._since, self._again = self._clock() - self._since, self._again, None, 0
        times = "1 request was" if again == 1 else f"{again} requests were"
        return f"waited {away:.0f} s for it ({self._what}); {times} sent again" if away >= NOTICEABLE else ""

    def away(self) -> bool:
        """Whether the last try failed."""
        return self._since is not None

    def attempt(self) -> Attempt:
        return Attempt(self, self._clock)


class Attempt:
    """The tries of one request."""

    def __init__(self, patience: Patience, clock: Callable[[], float]) -> None:
        self._patience, self._clock = patience, clock
        self._tries = 0
        self._alike = 0
        self._what = ""
        self._first: float | None = None

    def pause(self, trouble: Trouble) -> float:
        """Seconds to wait before the next try.

        :raises ClusterError: when there is none; the sentence says how often it was tried.
        """
        self._tries += 1
        self._alike = self._alike + 1 if trouble.what == self._what else 1
        self._what = trouble.what
        away = self._patience.failed(trouble.what)
        now = self._clock()
        self._first = now if self._first is None else self._first
        left = self._patience.seconds - max(away, now - self._first)
        if left <= 0 or self._alike == trouble.most:
            raise self._over(trouble.error, now - self._first)
        asked = min(trouble.pause, LONGEST_PAUSE)
        backoff = min(0.2 * 2 ** (self._tries - 1), 5.0) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret
        return min(asked or backoff, left)

    def _over(self, error: ClusterError, seconds: float) -> ClusterError:
        if self._tries > 1:
            error.message += f" (tried {self._tries} times in {seconds:.0f} s)"
        return error
