"""The commits of a group member, one at a time: each begins after the answer to the one before. Pure.

While the coordinator moves, the client library repeats a commit that failed. If a later commit were in flight
meanwhile, it would be answered first, and the earlier one would then set the group back without any error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog
from confluent_kafka import KafkaError

from memory_graph.worker.offsets import Offsets, Partition

COMMIT_INTERVAL_S = 0.5
"""How often offsets are committed. Records that a killed process has not committed are read again, and change
nothing."""
_log = structlog.get_logger(__name__)


class OffsetCommits:
    """Decides which offsets are committed, and when. clock: monotonic, in seconds.

    refusal: the error of the last commit that was answered; None where it succeeded.
    """

    def __init__(self, offsets: Offsets, clock: Callable[[], float]) -> None:
        self._offsets = offsets
        self._clock = clock
        self._sent: Mapping[Partition, int] = {}
        self._due_at = float("-inf")
        self.refusal: KafkaError | None = None

    @property
    def in_flight(self) -> bool:
        """Whether a commit is not answered yet."""
        return bool(self._sent)

    def due(self) -> Mapping[Partition, int]:
        """Like `begin`, but empty while a commit is in flight, or was begun less than COMMIT_INTERVAL_S ago."""
        if self.in_flight or self._clock() < self._due_at:
            return {}
        self._due_at = self._clock() + COMMIT_INTERVAL_S
        return self.begin()

    def begin(self) -> Mapping[Partition, int]:
        """Return the offsets that have moved. The caller commits them at once, and calls `answered` with the result."""
        self._sent = self._offsets.committable()
        return self._sent

    def answered(self, error: KafkaError | None) -> None:
        """End the commit in flight. Where it was refused, its offsets are committed again."""
        if error is not None:
            self._offsets.refused(self._sent)
            if self.refusal is None:
                _log.warning("offsets are not committed yet", reason=error.str())
        self.refusal = error
        self._sent = {}
