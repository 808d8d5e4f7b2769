"""The change feed as a stream: last_event_id from the store, then live (contract §1, StreamEvents)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from memory_graph.api.status import FeedInterrupted, ShuttingDown
from memory_graph.model.errors import StoreUnavailable
from memory_graph.model.mutations import Event
from memory_graph.model.numbers import whole
from memory_graph.store.protocol import GraphStore, Overrun

REPLAY_PAGE_SIZE = 1000
"""Events read from the store at a time while catching up."""


async def commits(
    store: GraphStore,
    tenant: str,
    *,
    after: str | None,
    matches: Callable[[Event], bool],
    session_id: str | None,
    draining: asyncio.Event,
    on_subscribed: Callable[[], Awaitable[None]],
) -> AsyncIterator[list[Event]]:
    """Yield batches of events in commit order, each event once: those after the event `after`, then those that are
    committed meanwhile.

    on_subscribed: awaited once no event can be missed any more.

    Raises:
        Overrun: when the caller is slower than the feed, with the id to resume from.
        FeedGap: when events after `after` are no longer kept.
        ShuttingDown, FeedInterrupted: when the server drains or cannot tell of commits, with the id to resume from.
    """
    last = after
    async with store.subscribe(tenant) as live:
        await on_subscribed()
        if after is not None:
            while page := await store.changes(tenant, last, REPLAY_PAGE_SIZE, session_id):
                last = page[-1].id
                yield [event for event in page if matches(event)]
        try:
            while True:
                following = await _next_or_drain(live.next(), draining, last)
                fresh = [event for event in following if last is None or position(event.id) > position(last)]
                last = following[-1].id if fresh else last
                yield [event for event in fresh if matches(event)]
        except Overrun as overrun:
            raise Overrun(last or overrun.last_event_id) from None
        except StoreUnavailable as error:
            raise FeedInterrupted(str(error), last) from error


def position(event_id: str) -> tuple[int, int]:
    """Return the position of an event in commit order.

    Raises:
        ValueError: if it is no event id.
    """
    commit, _, index = map(whole, event_id.partition("."))
    if commit is None or index is None or commit < 0 or index < 0:
        raise ValueError(event_id)
    return commit, index


async def _next_or_drain(pending: object, draining: asyncio.Event, last: str | None) -> tuple[Event, ...]:
    following = asyncio.ensure_future(pending)  # type: ignore[call-overload]
    stopping = asyncio.ensure_future(draining.wait())
    try:
        await asyncio.wait({following, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if following.done():
            events: tuple[Event, ...] = following.result()
            return events
        raise ShuttingDown(last)
    finally:
        for task in (following, stopping):
            task.cancel()
