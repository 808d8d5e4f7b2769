"""The store as the rest of the service sees it. The modules `*_contract.py` of service/tests/store are this protocol as
test suites; every store passes them unchanged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, Protocol, Self

from memory_graph.model.kinds import Direction, EdgeType
from memory_graph.model.mutations import Applied, Event, Write
from memory_graph.model.nodes import Edge, Node
from memory_graph.model.queries import LineageQuery, LineageStep, NodeFilter, Page, Path, ReplayStep, Stats, Traversal
from memory_graph.store.commits import CommitLog


class Spawn(Protocol):
    """Starts a task that is to live as long as the store; what watches over it hears of its end."""

    def __call__(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]: ...


def spawn_unwatched(coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """A `Spawn` for programs that end soon: nothing watches over the task."""
    return asyncio.create_task(coroutine, name=name)


class Codec(Protocol):
    """The one seam through which content passes on its way to and from the disk.

    Both calls see the tenant and the node, so that an encrypting codec can bind what it writes to them. They run
    on store threads, and for reads of a few nodes by id on the event loop's; they must not block on the network.
    """

    def encode(self, tenant: str, node_id: str, content: bytes) -> bytes: ...

    def decode(self, tenant: str, node_id: str, stored: bytes) -> bytes: ...


class GraphStore(CommitLog, Protocol):
    """A durable, temporal, multi-tenant graph. Every call but those of the commit log names its tenant and sees no
    other tenant's data.

    Reads are as of now unless they take a `PointInTime`. All methods may raise `StoreUnavailable`.
    """

    @property
    def has_one_writer(self) -> bool:
        """Whether one process owns the data. Several processes may share any other store."""
        ...

    async def apply(self, write: Write) -> Applied:
        """Returns once the write is durable. Raises `NotFound`, `AlreadyExists`, `SessionClosed`; then
        nothing of it is kept.

        Concurrent calls share commits. A call that is cancelled may still be committed.
        """
        ...

    async def get_nodes(self, tenant: str, ids: Sequence[str]) -> list[Node]:
        """The nodes that exist, in the order asked for; a repeated id is answered each time."""
        ...

    async def get_edge(self, tenant: str, edge_id: str) -> Edge | None: ...

    async def get_edges(
        self, tenant: str, node_id: str, direction: Direction, edge_type: EdgeType | None
    ) -> list[Edge]:
        """Edges of a node, oldest first. An unknown node is `NotFound`. A loop edge appears once."""
        ...

    async def query(self, tenant: str, condition: NodeFilter, limit: int, offset: int) -> Page:
        """Nodes by created_at, newest first, later-stored first where equal. An unknown session gives an empty page."""
        ...

    def scan(self, tenant: str, condition: NodeFilter) -> AsyncIterator[Node]:
        """The order of `query` without limit, holding one page in memory; sees at least what was committed
        before it began."""
        ...

    def traverse(self, tenant: str, traversal: Traversal) -> AsyncIterator[Path]: ...

    async def lineage(self, tenant: str, query: LineageQuery) -> list[LineageStep]:
        """Steps ordered by distance, upstream first."""
        ...

    def replay(
        self, tenant: str, session_id: str, as_of: int | None, known_at: int | None
    ) -> AsyncIterator[ReplayStep]:
        """A session in causal order: a node after every node it has a cause in (kinds.CAUSE_IS_TARGET), else
        by created_at.

        An unknown session is `NotFound`.
        """
        ...

    async def stats(self, tenant: str) -> Stats:
        """Constant-time counts."""
        ...

    async def totals(self) -> Stats:
        """The sums of all tenants' counts, from one row a tenant."""
        ...

    async def changes(self, tenant: str, after: str | None, limit: int, session_id: str | None = None) -> list[Event]:
        """Events in commit order after the event id given (None: from the oldest kept), at most about
        `limit`, whole commits.

        Raises `FeedGap` when events after that id have been dropped, `Invalid` for what is no event id.
        """
        ...

    def subscribe(self, tenant: str) -> Subscription:
        """Events committed from now on, from memory, with a bounded buffer."""
        ...

    async def ping(self) -> None:
        """Returns if the store can be read; raises `StoreUnavailable` with the reason otherwise. It writes nothing."""
        ...

    async def check_writable(self) -> None:
        """Commits a row that means nothing; raises `StoreUnavailable` with the reason where the store cannot write."""
        ...

    async def close(self) -> None:
        """Commits what was accepted and lets go of the files. Idempotent."""
        ...


class Subscription(Protocol):
    """A live end of the change feed. An async context manager; leaving it ends the subscription."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...

    async def next(self) -> tuple[Event, ...]:
        """Waits for the next committed events. Raises `Overrun` when this reader fell behind its buffer."""
        ...


class Overrun(Exception):
    """A subscriber was slower than the feed. last_event_id: the last event it was given or could have been given
    in order; resume there."""

    def __init__(self, last_event_id: str | None) -> None:
        super().__init__(f"the subscriber fell behind; resume from event {last_event_id}")
        self.last_event_id = last_event_id
