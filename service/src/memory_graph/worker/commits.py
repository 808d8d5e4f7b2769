"""The commits of a member of the consumer group, each made after the one before it was answered. Pure.

While its coordinator moves, the client library makes a commit again that was not taken. Were a later one under way
meanwhile, it would be answered first, and the earlier one would put the group back, with no error to tell of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog
from confluent_kafka import KafkaError

from memory_graph.worker.offsets import Offsets, Partition

COMMIT_INTERVAL_S = 0.5
"""How often offsets are committed: what a process that is killed leaves behind is read again, and changes nothing."""
_log = structlog.get_logger(__name__)


class OffsetCommits:
    """Says what to commit, and when. clock: monotonic, in seconds.

    refusal: why the last commit that was answered was refused.
    """

    def __init__(self, offsets: Offsets, clock: Callable[[], float]) -> None:
        self._offsets = offsets
        self._clock = clock
        self._sent: Mapping[Partition, int] = {}
        self._due_at = float("-inf")
        self.refusal: KafkaError | None = None

    @property
    def under_way(self) -> bool:
        """Whether a commit was begun and is not answered."""
        return bool(self._sent)

    def due(self) -> Mapping[Partition, int]:
        """As `begin`; nothing while a commit is under way, or was begun just now."""
        if self.under_way or self._clock() < self._due_at:
            return {}
        self._due_at = self._clock() + COMMIT_INTERVAL_S
        return self.begin()

    def begin(self) -> Mapping[Partition, int]:
        """The offsets that have moved. They are to be sent at once, and `answered` called then."""
        self._sent = self._offsets.committable()
        return self._sent

    def answered(self, error: KafkaError | None) -> None:
        """The commit under way was taken, or refused: then its offsets are committed again."""
        if error is not None:
            self._offsets.refused(self._sent)
            if self.refusal is None:
                _log.warning("offsets are not committed yet", reason=error.str())
        self.refusal = error
        self._sent = {}
