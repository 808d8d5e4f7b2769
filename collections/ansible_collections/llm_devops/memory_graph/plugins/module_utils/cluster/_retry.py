# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Retries of requests to an API server that is away, within one window of time. The clock is injected.

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

RETRY_WINDOW_S = 60.0
MAX_PAUSE_S = 30.0
MIN_REPORTED_WAIT_S = 3.0  # seconds; a shorter absence is not reported
MAX_SILENCE_S = 2 * MAX_PAUSE_S + 10  # seconds without any try, after which an earlier failure says nothing
QUICK_TRIES = 4  # where waiting rarely helps, such as HTTP 500: about 1.5 s


@dataclass(frozen=True)
class RetryableFailure:
    """The failure of one try. ``error`` is raised when no try is left.

    :param retry_after_s: seconds the server asked for (``Retry-After``), else 0.
    :param max_tries: how many tries may fail of this cause, 0: as many as the window allows.
    """

    error: ClusterError
    cause: str
    retry_after_s: float = 0.0
    max_tries: int = 0


class RetryWindow:
    """The time in which requests to one API server are retried, shared by all threads of a run."""

    def __init__(self, seconds: float = RETRY_WINDOW_S, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self._clock = seconds, clock
        self._lock = threading.Lock()
        self._first_failure: float | None = None
        self._last_failure = 0.0
        self._cause = ""
        self._failures = 0
        self._reported = False

    def exhausted(self) -> bool:
        """Whether the server has been away for the whole window, until a moment ago."""
        with self._lock:
            away = self._first_failure is not None and self._last_failure - self._first_failure >= self.seconds
            return away and self._clock() - self._last_failure < MAX_PAUSE_S

    def failed(self, cause: str) -> float:
        """Record a failed try, and return for how many seconds nothing has worked."""
        with self._lock:
            now = self._clock()
            if self._first_failure is None or now - self._last_failure > MAX_SILENCE_S:
                self._first_failure, self._failures, self._reported = now, 0, False
            self._last_failure = now
            self._cause, self._failures = cause, self._failures + 1
            return self._last_failure - self._first_failure

    def notice(self) -> str:
        """Return a sentence about an absence once, as soon as it is worth reporting, else nothing."""
        with self._lock:
            if (
                self._reported
                or self._first_failure is None
                or self._last_failure - self._first_failure < MIN_REPORTED_WAIT_S
            ):
                return ""
            self._reported = True
            return f"does not answer ({self._cause}); it is waited for, {self.seconds:.0f} s at most"

    def answered(self) -> str:
        """Record a try that worked, and return a sentence when it ended an absence worth reporting."""
        if self._first_failure is None:  # the usual case needs no lock
            return ""
        with self._lock:
            if self._first_failure is None:
                return ""
            away, failures, self._first_failure, self._failures = (
                self._clock() - self._first_failure,
                self._failures,
                None,
                0,
            )
        requests = "1 request was" if failures == 1 else f"{failures} requests were"
        return (
            f"waited {away:.0f} s for it ({self._cause}); {requests} sent again" if away >= MIN_REPORTED_WAIT_S else ""
        )

    def away(self) -> bool:
        """Whether the last try failed."""
        return self._first_failure is not None

    def attempt(self) -> Attempt:
        return Attempt(self, self._clock)


class Attempt:
    """The tries of one request."""

    def __init__(self, window: RetryWindow, clock: Callable[[], float]) -> None:
        self._window, self._clock = window, clock
        self._tries = 0
        self._same_cause = 0
        self._cause = ""
        self._started: float | None = None

    def pause(self, failure: RetryableFailure) -> float:
        """Return the seconds to wait before the next try.

        :raises ClusterError: when no try is left; the sentence says how often it was tried.
        """
        self._tries += 1
        self._same_cause = self._same_cause + 1 if failure.cause == self._cause else 1
        self._cause = failure.cause
        away = self._window.failed(failure.cause)
        now = self._clock()
        self._started = now if self._started is None else self._started
        remaining = self._window.seconds - max(away, now - self._started)
        if remaining <= 0 or self._same_cause == failure.max_tries:
            raise self._over(failure.error, now - self._started)
        retry_after = min(failure.retry_after_s, MAX_PAUSE_S)
        backoff = min(0.2 * 2 ** (self._tries - 1), 5.0) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret
        return min(retry_after or backoff, remaining)

    def _over(self, error: ClusterError, seconds: float) -> ClusterError:
        if self._tries > 1:
            error.message += f" (tried {self._tries} times in {seconds:.0f} s)"
        return error
