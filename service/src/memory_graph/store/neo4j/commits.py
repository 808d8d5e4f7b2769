"""The commit log of all tenants and the cursors of its readers. Each cursor is a :Feed node, as is the log's
own state."""

from __future__ import annotations

from neo4j import AsyncManagedTransaction

from memory_graph.store.commits import Commit, CommitPage
from memory_graph.store.events import decode
from memory_graph.store.neo4j.changes import NAME
from memory_graph.store.neo4j.connection import ask, do

_STATE = "OPTIONAL MATCH (f:Feed {name: $name}) RETURN coalesce(f.seq, 0), coalesce(f.dropped, 0)"
_READ = "MATCH (c:Commit) WHERE c.seq > $after RETURN c.seq, c.tenant, c.recorded_at, c.events ORDER BY c.seq"
_LOCKED = "MERGE (f:Feed {name: $name}) SET f.name = f.name WITH collect(f) AS locked UNWIND locked AS f "
"""Locks the cursor: whoever else claims or moves it waits, so that what is read of it stays true."""
_CLAIM = f"""{_LOCKED}
WITH f WHERE f.holder IS NULL OR f.holder = $holder OR f.held_until < timestamp()
SET f.holder = $holder, f.held_until = timestamp() + $ms
RETURN coalesce(f.seq, 0)
"""
_MOVE = f"""{_LOCKED}
WITH f WHERE f.holder = $holder
SET f.seq = CASE WHEN f.seq > $seq THEN f.seq ELSE $seq END
RETURN f.seq
"""
_RELEASE = "MATCH (f:Feed {name: $name, holder: $holder}) SET f.holder = NULL, f.held_until = NULL"
_PREFIX = "reader "


def name_of(reader: str) -> str:
    """Return the name of a reader's cursor among the feeds."""
    return _PREFIX + reader


async def read(tx: AsyncManagedTransaction, after: int, limit: int) -> CommitPage:
    """Commits after a number, until they have at least `limit` events."""
    ((newest, dropped),) = await ask(tx, _STATE, name=NAME)
    commits: list[Commit] = []
    events = 0
    if newest > after:
        result = await tx.run(_READ, {"after": after})
        async for record in result:
            seq, tenant, at, stored = record.values()
            commits.append(Commit(seq, tenant, tuple(decode(seq, at, stored))))
            events += len(commits[-1].events)
            if events >= limit:
                break
        await result.consume()
    return CommitPage(tuple(commits), newest, dropped)


async def claim(tx: AsyncManagedTransaction, reader: str, holder: str, seconds: float) -> int | None:
    """The reader's cursor, held for so long by the database's own clock; None: somebody else holds it."""
    cursor = await ask(tx, _CLAIM, name=name_of(reader), holder=holder, ms=int(seconds * 1000))
    return cursor[0][0] if cursor else None


async def move(tx: AsyncManagedTransaction, reader: str, holder: str, seq: int) -> bool:
    """Puts the cursor forward, unless somebody else has claimed it."""
    return bool(await ask(tx, _MOVE, name=name_of(reader), holder=holder, seq=seq))


async def release(tx: AsyncManagedTransaction, reader: str, holder: str) -> None:
    """Ends what the holder has claimed."""
    await do(tx, _RELEASE, name=name_of(reader), holder=holder)
