"""Handlers of events that can never be stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import structlog

from memory_graph.ingest.telemetry.events import Rejected
from memory_graph.telemetry.ingestion import IngestionMetrics

RejectedHandler = Callable[[Sequence[Rejected]], None]
"""Takes the rejected events of one message."""

ExpiredHandler = Callable[[str, Sequence[Rejected]], Awaitable[None]]
"""Takes accepted events of a tenant that expired, with their bodies; returns once they are stored elsewhere."""

_log = structlog.get_logger(__name__)


class DeadLetterHandlers(msgspec.Struct, frozen=True):
    """The handlers of one pipeline. on_expired: None for a process without a queue: then expired events are counted
    and logged like rejected ones."""

    on_rejected: RejectedHandler
    on_expired: ExpiredHandler | None = None


def count_and_log(metrics: IngestionMetrics) -> RejectedHandler:
    """Make a handler that counts each event and logs one line for a message, without content."""

    def handle(rejected: Sequence[Rejected]) -> None:
        for event in rejected:
            metrics.dropped(event.event_type, event.reason)
        _log.warning(
            "events rejected",
            count=len(rejected),
            reasons=dict(Counter(event.reason for event in rejected)),
            event_id=rejected[0].event_id[:64],
            event_type=rejected[0].event_type,
        )

    return handle


def expired_as_rejected(dead_letters: RejectedHandler) -> ExpiredHandler:
    """Make a handler that counts and logs expired events like rejected ones, for lack of a queue."""

    async def handle(_: str, rejected: Sequence[Rejected]) -> None:
        dead_letters(rejected)

    return handle
