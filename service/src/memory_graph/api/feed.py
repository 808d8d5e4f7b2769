"""The change feed as a stream: resumed from the store, then live (contracts §1, StreamEvents)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from memory_graph.api.status import ShuttingDown
from memory_graph.model.mutations import Event
from memory_graph.store.protocol import GraphStore, Overrun

REPLAY_PAGE = 1000
"""Events read from the store at a time while catching up."""


async def events(
    store: GraphStore,
    tenant: str,
    *,
    after: str | None,
    wanted: Callable[[Event], bool],
    session_id: str | None,
    draining: asyncio.Event,
    subscribed: Callable[[], Awaitable[None]],
) -> AsyncIterator[Event]:
    """Events in commit order, each once: those after the event id given, then those committed while the caller listens.

    subscribed: awaited once no event can be missed any more.

    Raises:
        Overrun: when the caller is slower than the feed, with the id to resume from.
        FeedGap: when events after `after` are no longer kept.
        ShuttingDown: when the server drains, with the id to resume from.
    """
    last = after
    async with store.subscribe(tenant) as live:
        await subscribed()
        if after is not None:
            while page := await store.changes(tenant, last, REPLAY_PAGE, session_id):
                for event in page:
                    last = event.id
                    if wanted(event):
                        yield event
        try:
            while True:
                for event in await _next_or_drain(live.next(), draining, last):
                    if last is not None and position(event.id) <= position(last):
                        continue
                    last = event.id
                    if wanted(event):
                        yield event
        except Overrun as overrun:
            raise Overrun(last or overrun.last_event_id) from None


def position(event_id: str) -> tuple[int, int]:
    """Where an event stands in commit order.

    Raises:
        ValueError: for what is no event id.
    """
    commit, _, index = event_id.partition(".")
    return int(commit), int(index)


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
