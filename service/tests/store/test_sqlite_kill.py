"""kill -9 in the middle of load: whatever was acknowledged is there, and the graph is whole."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import apsw

from memory_graph.model.kinds import NodeType
from memory_graph.store.sqlite import open_store
from store.chains import chain
from store.graphs import TENANT

ROUNDS = 4
_DANGLING = "SELECT count(*) FROM edges WHERE src NOT IN (SELECT n FROM nodes) OR dst NOT IN (SELECT n FROM nodes)"


def killed_after(path: Path, acknowledged: int) -> list[str]:
    """Ids acknowledged by a writer that is killed once it has acknowledged so many."""
    load = Path(__file__).with_name("load.py")
    with subprocess.Popen(
        [sys.executable, str(load), str(path)], stdout=subprocess.PIPE, text=True, cwd=load.parent.parent
    ) as process:
        lines = [process.stdout.readline() for _ in range(acknowledged)]
        process.kill()
        lines += process.stdout.readlines()
    return [line.strip() for line in lines if line.endswith("\n")]


async def test_acknowledged_writes_survive_kill(tmp_path):
    path = tmp_path / "graph.db"
    chance = random.Random(7)
    acknowledged: list[str] = []
    for _ in range(ROUNDS):
        acknowledged += killed_after(path, chance.randint(50, 700))
        store = open_store(path)
        created = [id for kind, id in map(str.split, acknowledged) if kind == "created"]
        deleted = {id for kind, id in map(str.split, acknowledged) if kind == "deleted"}
        may_be_deleted = {id for kind, id in map(str.split, acknowledged) if kind == "deleting"}
        stored = {node.id: node for node in await store.get_nodes(TENANT, created)}
        assert set(created) - may_be_deleted <= set(stored)
        assert not deleted & set(stored)
        for id in created:
            if id in stored and stored[id].type is NodeType.SESSION:
                await chain(store, id)
        await counts_are_true(store, path)
        await store.close()


async def counts_are_true(store, path) -> None:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    assert connection.execute(_DANGLING).get == 0
    assert connection.pragma("integrity_check") == "ok"
    counted = connection.execute(
        "SELECT session, type, count(*) FROM nodes WHERE session > 0 GROUP BY session, type ORDER BY 1, 2"
    ).fetchall()
    rows = connection.execute(
        "SELECT session, kind, count FROM counts WHERE session > 0 AND count <> 0 ORDER BY 1, 2"
    ).fetchall()
    assert counted == rows
    stats = await store.stats(TENANT)
    assert (stats.nodes, stats.edges) == (
        connection.execute("SELECT count(*) FROM nodes").get,
        connection.execute("SELECT count(*) FROM edges").get,
    )
    assert stats.active_sessions == connection.execute("SELECT count(*) FROM sessions WHERE active").get
    connection.close()
