"""The live half of the change feed: committed events to the subscribers in this process, from memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Self

from memory_graph.model.errors import StoreUnavailable
from memory_graph.model.mutations import Event
from memory_graph.store.protocol import Overrun

MAX_BUFFERED_EVENTS = 10_000
KEEP_CHANGES = 100_000
"""Commits that a store keeps for subscribers who resume."""


class Feed:
    """Hands what is committed to every subscriber of its tenant. Never waits for one."""

    def __init__(self, max_buffered: int = MAX_BUFFERED_EVENTS) -> None:
        self._max_buffered = max_buffered
        self._subscribers: dict[str, set[FeedSubscription]] = {}
        self._closed: StoreUnavailable | None = None

    def subscribe(self, tenant: str) -> FeedSubscription:
        """Events published from now on, until the subscription is left."""
        mine = self._subscribers.setdefault(tenant, set())
        subscription = FeedSubscription(self._max_buffered, lambda: self._leave(tenant, subscription))
        mine.add(subscription)
        if self._closed is not None:
            subscription.fail(self._closed)
        return subscription

    def publish(self, tenant: str, events: tuple[Event, ...]) -> None:
        """Takes the events of one commit. Called in commit order."""
        if not events:
            return
        for subscription in tuple(self._subscribers.get(tenant, ())):
            subscription.offer(events)

    def fail(self, error: StoreUnavailable, *, for_good: bool = False) -> None:
        """Ends every subscription with an error after what it holds, because a commit cannot be told: a reader that
        went on would miss it. for_good: those made later end as well."""
        if for_good:
            self._closed = error
        for subscriptions in tuple(self._subscribers.values()):
            for subscription in tuple(subscriptions):
                subscription.fail(error)

    def _leave(self, tenant: str, subscription: FeedSubscription) -> None:
        mine = self._subscribers.get(tenant)
        if mine is None:
            return
        mine.discard(subscription)
        if not mine:
            del self._subscribers[tenant]


class FeedSubscription:
    """One subscriber's buffer, bounded in events."""

    def __init__(self, max_buffered: int, leave: Callable[[], None]) -> None:
        self._max_buffered = max_buffered
        self._leave = leave
        self._commits: deque[tuple[Event, ...]] = deque()
        self._buffered = 0
        self._last_event_id: str | None = None
        self._overrun = False
        self._failure: StoreUnavailable | None = None
        self._arrived = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._leave()

    def offer(self, events: tuple[Event, ...]) -> None:
        """Buffers the events of a commit. Where they do not fit, the subscription ends after what it has."""
        if self._overrun or self._failure is not None:
            return
        if self._commits and self._buffered + len(events) > self._max_buffered:
            self._overrun = True
            self._leave()
        else:
            self._commits.append(events)
            self._buffered += len(events)
        self._arrived.set()

    def fail(self, error: StoreUnavailable) -> None:
        """Ends the subscription after what it has."""
        self._failure = error
        self._leave()
        self._arrived.set()

    async def next(self) -> tuple[Event, ...]:
        """The events of the next commit. Raises `Overrun` or `StoreUnavailable` once what was buffered in order has
        been given."""
        while not self._commits:
            if self._overrun:
                raise Overrun(self._last_event_id)
            if self._failure is not None:
                raise self._failure
            self._arrived.clear()
            await self._arrived.wait()
        events = self._commits.popleft()
        self._buffered -= len(events)
        self._last_event_id = events[-1].id
        return events
