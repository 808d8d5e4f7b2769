"""`memory-graph migrate` as a user calls it."""

from __future__ import annotations

import asyncio

import pytest

from memory_graph.store import sqlite
from store.migration_graph import grown
from support.cli import Ended, run_cli
from support.neo4j_server import PASSWORD, USERNAME, run_statement

pytestmark = pytest.mark.xdist_group("neo4j")


async def migrate(*arguments: str) -> Ended:
    return await asyncio.to_thread(run_cli, "migrate", *arguments, NEO4J_USERNAME=USERNAME, NEO4J_PASSWORD=PASSWORD)


async def test_the_command_moves_says_so_and_refuses_what_is_in_use(tmp_path, empty_neo4j):
    await grown(tmp_path / "memory-graph.db")
    command = ("--from", str(tmp_path), "--to", empty_neo4j)
    owner = sqlite.open_store(tmp_path / "memory-graph.db")
    refused = await migrate(*command)
    assert (refused.code, "in use by another process" in refused.err) == (4, True)
    await owner.close()
    done = await migrate(*command, "--json")
    assert done.code == 0, done.err
    document = done.json
    assert document["same"]
    ((nodes,),) = run_statement(empty_neo4j, "MATCH (n:Node) RETURN count(n)")
    assert {item["part"]: item["rows"] for item in document["parts"]}["nodes"] == nodes
    assert "moving nodes: " in done.err
    again = await migrate(*command)
    assert (again.code, "holds a graph already" in again.err) == (4, True)


@pytest.mark.parametrize(
    ("source", "to", "sentence"),
    [
        ("nowhere", "bolt://localhost:1", "does not exist"),
        (".", "bolt://localhost:1", "holds no memory-graph.db"),
        ("plain", "postgresql://localhost", "--to must be like"),
        ("plain", "bolt://user:secret@localhost", "--to must be like"),
    ],
)
async def test_the_command_refuses_wrong_words(tmp_path, source, to, sentence):
    (tmp_path / "plain").touch()
    refused = await migrate("--from", str(tmp_path / source), "--to", to)
    assert (refused.code, sentence in refused.err, "secret" in refused.err) == (2, True, False)
    assert list(tmp_path.iterdir()) == [tmp_path / "plain"]
