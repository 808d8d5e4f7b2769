"""Where events go that can never be stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import structlog

from memory_graph.ingest.telemetry.events import Rejected
from memory_graph.telemetry.ingestion import IngestionMetrics

DeadLetters = Callable[[Sequence[Rejected]], None]
"""Is handed the rejected events of one message."""

GivenUp = Callable[[str, Sequence[Rejected]], Awaitable[None]]
"""Is handed events of a tenant that had been accepted and are given up, with their bodies; returns once they are where
they can be found again."""

_log = structlog.get_logger(__name__)


def counted_and_logged(metrics: IngestionMetrics) -> DeadLetters:
    """Counts each event, and writes one line for a message's, without their content."""

    def take(rejected: Sequence[Rejected]) -> None:
        for one in rejected:
            metrics.dropped(one.event_type, one.reason)
        _log.warning(
            "events rejected",
            count=len(rejected),
            reasons=dict(Counter(one.reason for one in rejected)),
            event_id=rejected[0].event_id[:64],
            event_type=rejected[0].event_type,
        )

    return take


def without_a_queue(dead_letters: DeadLetters) -> GivenUp:
    """What is given up is counted and logged like what is rejected: there is no queue for it."""

    async def take(_: str, rejected: Sequence[Rejected]) -> None:
        dead_letters(rejected)

    return take
