"""The commit log of the file, of all tenants, and the cursors of its readers.

The file has one owner, so a cursor needs no holder: who can ask for it has it.
"""

from __future__ import annotations

import apsw

from memory_graph.store.commits import Commit, CommitPage
from memory_graph.store.events import decode

_NEWEST = "SELECT coalesce(max(seq), 0) FROM changes"
_DROPPED = "SELECT coalesce(max(feed_floor), 0) FROM tenants"
_READ = """SELECT c.seq, t.name, c.recorded_at, c.events FROM changes c NOT INDEXED CROSS JOIN tenants t
ON t.tenant = c.tenant WHERE c.seq > ? ORDER BY c.seq"""
_CURSOR = "SELECT seq FROM cursors WHERE reader = ?"
_MOVE = """INSERT INTO cursors (reader, seq) VALUES (?1, ?2)
ON CONFLICT (reader) DO UPDATE SET seq = excluded.seq WHERE excluded.seq > seq"""


def read(connection: apsw.Connection, after: int, limit: int) -> CommitPage:
    """Commits after a number, until they have at least `limit` events."""
    newest, dropped = connection.execute(_NEWEST).get, connection.execute(_DROPPED).get
    assert isinstance(newest, int)
    assert isinstance(dropped, int)
    commits: list[Commit] = []
    events = 0
    for seq, tenant, at, stored in connection.execute(_READ, (after,)):
        commits.append(Commit(seq, tenant, tuple(decode(seq, at, stored))))
        events += len(commits[-1].events)
        if events >= limit:
            break
    return CommitPage(tuple(commits), newest, dropped)


def cursor(connection: apsw.Connection, reader: str) -> int:
    """The last commit that a reader is done with; 0: none yet."""
    seq = connection.execute(_CURSOR, (reader,)).get
    assert seq is None or isinstance(seq, int)
    return seq or 0


def move(connection: apsw.Connection, reader: str, seq: int) -> None:
    """Puts a cursor forward, in a transaction of its own."""
    connection.execute(_MOVE, (reader, seq))
