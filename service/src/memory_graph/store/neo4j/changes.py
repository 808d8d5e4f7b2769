"""The durable half of the change feed: a :Commit for each write that changed something, in the order of commits."""

from __future__ import annotations

from typing import Any

import msgspec
from neo4j import AsyncManagedTransaction

from memory_graph.model.errors import FeedGap
from memory_graph.model.mutations import Event
from memory_graph.model.tenants import is_ephemeral
from memory_graph.store.events import decode, decode_after, encode, position
from memory_graph.store.ids import to_bytes
from memory_graph.store.neo4j import statements
from memory_graph.store.neo4j.connection import ask, do
from memory_graph.store.neo4j.unit_of_work import Neo4jUnitOfWork
from memory_graph.store.rules.sequence import HybridLogicalClock

NAME = "changes"
_TRIM_BATCH_SIZE = 5_000
_STATE = "OPTIONAL MATCH (f:Feed {name: $name}) OPTIONAL MATCH (t:Tenant {name: $tenant}) RETURN f.seq, t.feed_floor"
_HIGHEST = "MATCH (f:Feed {name: $name}) RETURN f.seq, f.recorded_at, f.n"
_READ = """
MATCH (c:Commit) WHERE c.tenant = $tenant AND c.seq >= $seq
  AND ($session IS NULL OR c.session_id IS NULL OR c.session_id = $session)
RETURN c.seq, c.recorded_at, c.events ORDER BY c.seq
"""
_OF_ALL = """
MATCH (c:Commit) WHERE c.seq > $after RETURN c.seq, c.tenant, c.recorded_at, c.events ORDER BY c.seq LIMIT $limit
"""
_TRIM = """
MERGE (f:Feed {name: $name}) SET f.name = f.name
WITH collect(f) AS locked UNWIND locked AS f
WITH f, coalesce(f.dropped, 0) AS dropped
WITH f, dropped, CASE WHEN f.seq - $keep < dropped + $most THEN f.seq - $keep ELSE dropped + $most END AS last
WHERE last > dropped
SET f.dropped = last
WITH dropped, last
MATCH (c:Commit) WHERE c.seq > dropped AND c.seq <= last
WITH c.tenant AS name, max(c.seq) AS floor, collect(c) AS gone
MATCH (t:Tenant {name: name}) SET t.feed_floor = floor
FOREACH (c IN gone | DELETE c)
"""


class CommitRange(msgspec.Struct, frozen=True):
    """The number before the first commit of a transaction, and that of the newest commit the feed has dropped."""

    before: int
    dropped: int


async def append(unit: Neo4jUnitOfWork, batch: str) -> CommitRange | None:
    """Gives the unit's writes their numbers, and writes counts and commits: the last step of a transaction. None where
    there is nothing to tell."""
    if not unit.commits:
        return None
    clock = unit.clock
    ((newest, recorded_at, n, dropped),) = await ask(
        unit.tx,
        statements.NEXT_COMMITS,
        name=NAME,
        commits=len(unit.commits),
        recorded_at=clock.recorded_at,
        n=clock.n,
    )
    clock.seen(recorded_at, n)
    before = newest - len(unit.commits)
    counts = [[tenant, change] for tenant, change in sorted(unit.tenant_counters.items()) if not is_ephemeral(tenant)]
    await do(unit.tx, statements.COUNT, rows=counts)
    rows = [
        {
            "seq": before + offset,
            "tenant": commit.tenant,
            "session_id": commit.session_id,
            "recorded_at": commit.recorded_at,
            "events": encode(commit.changes),
            "batch": batch,
        }
        for offset, commit in enumerate(unit.commits, 1)
    ]
    await do(unit.tx, statements.CREATE_COMMITS, rows=rows)
    return CommitRange(before, dropped)


async def find_kept_commit(tx: AsyncManagedTransaction, batch: str, after: int) -> int | None:
    """Return the number before the first commit of a transaction that may have been committed or not; None: it was
    not, and will not be. Nobody else commits until this transaction ends."""
    await do(tx, statements.LOCK_FEED, name=NAME)
    rows = await ask(tx, statements.IS_COMMITTED, after=after, batch=batch)
    return rows[0][0] - 1 if rows else None


async def newest(tx: AsyncManagedTransaction, clock: HybridLogicalClock) -> int:
    """The number of the newest commit, 0 where there is none."""
    rows = await ask(tx, _HIGHEST, name=NAME)
    if not rows:
        return 0
    ((seq, recorded_at, n),) = rows
    clock.seen(recorded_at, n)
    assert isinstance(seq, int)
    return seq


async def read(
    tx: AsyncManagedTransaction, tenant: str, after: str | None, limit: int, session: str | None
) -> list[Event]:
    """Events after an event id, whole commits, until there are at least `limit`. Raises `FeedGap`, `Invalid`."""
    start = (0, 0) if after is None else position(after)
    ((highest, floor),) = await ask(tx, _STATE, name=NAME, tenant=tenant)
    if after is not None and (start[0] <= (floor or 0) or start[0] > (highest or 0)):
        raise FeedGap(after)
    if session is not None:
        to_bytes(session)
    events: list[Event] = []
    result = await tx.run(_READ, {"tenant": tenant, "seq": start[0], "session": session})
    async for record in result:
        number, at, stored = record.values()
        events += decode_after(number, at, stored, start, session)
        if len(events) >= limit:
            break
    await result.consume()
    return events


async def read_all(tx: AsyncManagedTransaction, after: int, limit: int) -> list[tuple[int, str, tuple[Event, ...]]]:
    """Commits of every tenant after a number, in order: their number, tenant and events."""
    rows: list[list[Any]] = await ask(tx, _OF_ALL, after=after, limit=limit)
    return [(seq, tenant, tuple(decode(seq, at, stored))) for seq, tenant, at, stored in rows]


async def trim(tx: AsyncManagedTransaction, keep: int) -> None:
    """Drops some of what is older than the `keep` newest commits, remembering for each tenant up to where."""
    await do(tx, _TRIM, name=NAME, keep=keep, most=_TRIM_BATCH_SIZE)
