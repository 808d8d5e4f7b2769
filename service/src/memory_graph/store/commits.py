"""The log of commits of all tenants, as a reader outside of the process follows it: it is the transactional outbox."""

from __future__ import annotations

from typing import Protocol

import msgspec

from memory_graph.model.mutations import Event


class Commit(msgspec.Struct, frozen=True):
    """The events of one committed write. seq: its number; numbers rise in the order of commits."""

    seq: int
    tenant: str
    events: tuple[Event, ...]


class CommitPage(msgspec.Struct, frozen=True):
    """A piece of the log, in order. newest: the last commit there is. dropped: the last one the log no longer holds;
    0: it holds all."""

    commits: tuple[Commit, ...]
    newest: int
    dropped: int


class CommitLog(Protocol):
    """Every commit once, in order, and how far a named reader has come. A commit is written to the log in its own
    transaction. The cursor is beside the log: a restored backup takes both back."""

    async def commits(self, after: int, limit: int) -> CommitPage:
        """Commits of every tenant after a number, until they have at least `limit` events."""
        ...

    async def claim_cursor(self, reader: str, holder: str, seconds: float) -> int | None:
        """Makes `holder` the one who reads as `reader` for so many seconds from now, also when it is that already.
        The number of the last commit that is done, 0 at first; None while somebody else holds it."""
        ...

    async def move_cursor(self, reader: str, holder: str, seq: int) -> bool:
        """Says durably that all up to a commit is done. False, and nothing is said, when somebody else has claimed the
        cursor since."""
        ...

    async def release_cursor(self, reader: str, holder: str) -> None:
        """Lets somebody else claim the cursor at once."""
        ...
