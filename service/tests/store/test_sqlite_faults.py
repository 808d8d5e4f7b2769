"""Faults of a file: each gives its error and names the way out, and nothing is half done."""

from __future__ import annotations

import asyncio
import sys

import apsw
import pytest

from memory_graph.model.errors import FeedGap, StoreCorrupt, StoreUnavailable
from memory_graph.model.queries import NodeFilter
from memory_graph.store.sqlite import open_store
from memory_graph.store.sqlite.connection import open_writer
from memory_graph.store.sqlite.schema import MIGRATIONS, migrate
from store.chains import chain
from store.graphs import TENANT, agent, prompt, session, write


@pytest.fixture
def path(tmp_path):
    return tmp_path / "graph.db"


def cap(store, pages: int) -> None:
    """Stands for a full disk: SQLite then reports SQLITE_FULL as it does for ENOSPC."""
    store._committer._connection.pragma("max_page_count", pages)


async def test_a_full_disk_refuses_whole_writes_and_recovers(path):
    store = open_store(path)
    opened = session()
    await store.apply(write(opened))
    before = await store.stats(TENANT)
    cap(store, 1)
    big = [write(prompt(opened.node.id, "x" * 100_000)) for _ in range(4)]
    outcomes = await asyncio.gather(*map(store.apply, big), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 4
    assert "disk is full" in str(outcomes[0])
    assert str(path) in str(outcomes[0])
    assert await store.stats(TENANT) == before
    assert len(await store.changes(TENANT, None, 10)) == 1
    cap(store, 2**30)
    await asyncio.gather(*map(store.apply, big))
    assert len(await chain(store, opened.node.id)) == 4
    await store.ping()
    await store.close()


async def test_a_file_that_cannot_be_written_can_be_read_and_says_so_where_it_is_to_be_written(path):
    store = open_store(path)
    await store.check_writable()
    store._committer._connection.pragma("query_only", True)
    await store.ping()
    with pytest.raises(StoreUnavailable, match="cannot be used now"):
        await store.check_writable()
    store._committer._connection.pragma("query_only", False)
    await store.check_writable()
    await store.close()


async def test_a_file_without_room_for_a_small_write_cannot_be_written(path):
    store = open_store(path)
    opened = session()
    await store.apply(write(opened))
    connection = store._committer._connection
    cap(store, connection.pragma("page_count") + 4)
    with pytest.raises(StoreUnavailable, match="disk is full"):
        await store.check_writable()
    cap(store, 2**30)
    await store.check_writable()
    pages = connection.pragma("page_count")
    for _ in range(20):
        await store.check_writable()
    assert connection.pragma("page_count") == pages, "the room is given back"
    await store.close()


async def test_a_ping_writes_nothing(path):
    store = open_store(path)
    await store.apply(write(agent()))
    before = [file.read_bytes() for file in sorted(path.parent.iterdir()) if not file.name.endswith("-shm")]
    for _ in range(5):
        await store.ping()
        await store.totals()
    assert [file.read_bytes() for file in sorted(path.parent.iterdir()) if not file.name.endswith("-shm")] == before
    await store.close()


async def test_a_commit_that_cannot_be_told_ends_subscriptions_and_hangs_no_writer(path, monkeypatch):
    store = open_store(path)
    publish, breaks = store._feed.publish, iter([True])

    def broken(tenant, events):
        if next(breaks, False):
            raise LookupError("a mistake of ours")
        publish(tenant, events)

    monkeypatch.setattr(store._feed, "publish", broken)
    async with asyncio.timeout(20), store.subscribe(TENANT) as subscription:
        applied = await asyncio.gather(*(store.apply(write(agent(str(i)))) for i in range(3)))
        with pytest.raises(StoreUnavailable, match="resume"):
            await subscription.next()
        applied.append(await store.apply(write(agent("later"))))
    assert [event.id for event in await store.changes(TENANT, None, 10)] == [f"{seq}.0" for seq in range(1, 5)]
    assert sorted(outcome.events[0].id for outcome in applied) == [f"{seq}.0" for seq in range(1, 5)]
    await store.close()


async def read_all(path, session_id: str) -> None:
    store = open_store(path)
    try:
        await store.query(TENANT, NodeFilter(session_id=session_id), 1_000, 0)
    finally:
        await store.close()


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be read as one" * 40, b"\0" * 5_000])
def test_a_file_that_is_no_database_is_left_as_it_is(path, content):
    path.write_bytes(content)
    with pytest.raises(StoreCorrupt, match="restore") as refused:
        open_store(path)
    assert str(path) in str(refused.value)
    assert path.read_bytes() == content


async def test_a_damaged_page_is_reported_when_it_is_read(path):
    store = open_store(path)
    opened = session()
    await store.apply(write(opened, *(prompt(opened.node.id, "x" * 3_000) for _ in range(200))))
    await store.close()
    content = bytearray(path.read_bytes())
    content[8 * 4096 :] = b"\xa5" * (len(content) - 8 * 4096)
    path.write_bytes(content)
    with pytest.raises(StoreCorrupt, match="backup"):
        await read_all(path, opened.node.id)


def test_a_file_of_another_application_is_refused(path):
    with apsw.Connection(str(path)) as other:
        other.execute("CREATE TABLE theirs (x)")
    with pytest.raises(StoreCorrupt, match="another application"):
        open_store(path)


async def test_a_newer_schema_is_refused_and_left_as_it_is(path):
    await open_store(path).close()
    newer = len(MIGRATIONS) + 1
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", newer)
    connection.close()
    with pytest.raises(StoreCorrupt, match=f"schema {newer} .* reads up to {len(MIGRATIONS)}"):
        open_store(path)
    assert apsw.Connection(str(path)).pragma("user_version") == newer


def test_migrations_go_forward_one_by_one_and_a_failed_one_is_undone(path):
    connection = apsw.Connection(str(path))
    migrate(connection, MIGRATIONS)
    more = (*MIGRATIONS, "CREATE TABLE extra (x)", "CREATE TABLE late (x); no such statement")
    with pytest.raises(apsw.SQLError):
        migrate(connection, more)
    assert connection.pragma("user_version") == len(MIGRATIONS) + 1
    assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name IN ('extra', 'late')").get == 1


async def test_a_second_owner_is_refused_and_the_first_goes_on(path):
    store = open_store(path)
    with pytest.raises(StoreUnavailable, match="in use by another process"):
        open_store(path)
    code = (
        "import sys; from memory_graph.store.sqlite import open_store\n"
        "try: open_store(sys.argv[1])\nexcept Exception as error: print(error)"
    )
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(path), stdout=asyncio.subprocess.PIPE)
    output, _ = await other.communicate()
    assert b"in use by another process" in output
    await store.apply(write(agent()))
    await store.close()
    await open_store(path).close()


async def test_a_refused_opening_lets_go_of_the_file(path):
    path.write_bytes(b"nothing to open" * 100)
    with pytest.raises(StoreCorrupt):
        open_store(path)
    path.unlink()
    await open_store(path).close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="make its folder writable"):
        open_store(tmp_path / "file" / "graph.db")


async def test_a_closed_store_refuses_to_read_and_write(path):
    store = open_store(path)
    await store.close()
    for call in (
        store.apply(write(agent())),
        store.stats(TENANT),
        store.ping(),
        store.check_writable(),
        store.totals(),
    ):
        with pytest.raises(StoreUnavailable, match="closed"):
            await call


def test_what_is_acknowledged_is_synced_to_the_disk(path):
    connection = open_writer(path)
    full = 2
    assert (connection.pragma("journal_mode"), connection.pragma("synchronous")) == ("wal", full)
    connection.close()


async def test_closing_leaves_one_file(path):
    store = open_store(path)
    await store.apply(write(agent()))
    await store.close()
    assert {file.name for file in path.parent.iterdir()} == {"graph.db", "graph.db.lock"}


async def test_the_feed_keeps_a_bounded_number_of_commits(path):
    store = open_store(path, keep_changes=20)
    await store.apply(write(agent("quiet"), tenant="quiet"))
    for i in range(60):
        await store.apply(write(agent(str(i))))
    stored = await store.changes(TENANT, None, 1_000)
    assert 20 <= len(stored) <= 23
    assert await store.changes(TENANT, stored[0].id, 1_000) == stored[1:]
    for dropped in ("2.0", "30.0"):
        with pytest.raises(FeedGap, match=dropped):
            await store.changes(TENANT, dropped, 10)
    with pytest.raises(FeedGap):
        await store.changes("quiet", "1.0", 10)
    await store.close()


async def test_times_and_positions_go_on_after_a_restart_with_a_clock_set_back(path):
    store = open_store(path, clock=lambda: 5_000)
    first = await store.apply(write(agent()))
    await store.close()
    store = open_store(path, clock=lambda: 10)
    second = await store.apply(write(agent()))
    await store.close()
    assert (first.events[0].id, second.events[0].id) == ("1.0", "2.0")
    assert second.results[0].recorded_at == first.results[0].recorded_at + 1
