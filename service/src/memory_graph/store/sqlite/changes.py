"""The durable half of the change feed: a row per commit, its events packed (memory_graph.store.events)."""

from __future__ import annotations

import apsw

from memory_graph.model.errors import FeedGap
from memory_graph.model.mutations import Event
from memory_graph.store.events import decode_after, position
from memory_graph.store.ids import to_bytes


def read(
    connection: apsw.Connection, tenant: int, floor: int, after: str | None, limit: int, session: str | None
) -> list[Event]:
    """Events after an event id, whole commits, until there are at least `limit`. Raises `FeedGap`, `Invalid`."""
    start = (0, 0) if after is None else position(after)
    newest = connection.execute("SELECT max(seq) FROM changes").get or 0
    if after is not None and (start[0] <= floor or start[0] > newest):
        raise FeedGap(after)
    events: list[Event] = []
    for number, at, stored in connection.execute(
        """SELECT c.seq, c.recorded_at, c.events FROM changes c INDEXED BY changes_by_tenant
        WHERE c.tenant = ?1 AND c.seq >= ?2 AND (c.session IS NULL OR ?3 IS NULL OR c.session =
          (SELECT s.session FROM sessions s WHERE s.session = c.session AND s.id = ?3))
        ORDER BY c.seq""",
        (tenant, start[0], None if session is None else to_bytes(session)),
    ):
        events += decode_after(number, at, stored, start, session)
        if len(events) >= limit:
            break
    return events


def trim(connection: apsw.Connection, newest: int, keep: int) -> None:
    """Drops all but the `keep` newest commits, remembering for each tenant up to where."""
    last_dropped = newest - keep
    oldest = connection.execute("SELECT min(seq) FROM changes").get
    if not isinstance(oldest, int) or last_dropped - oldest < max(keep // 10, 1):
        return
    for tenant, floor in connection.execute(
        "SELECT tenant, max(seq) FROM changes WHERE seq <= ? GROUP BY tenant", (last_dropped,)
    ).fetchall():
        connection.execute("UPDATE tenants SET feed_floor = ? WHERE tenant = ?", (floor, tenant))
    connection.execute("DELETE FROM changes WHERE seq <= ?", (last_dropped,))
