"""neo4j_schema against a real database, and its migrations beside the service's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.backends import _neo4j_migrations

from memory_graph.store.neo4j import schema
from support.neo4j_server import PASSWORD, USERNAME, run_statement

pytestmark = pytest.mark.xdist_group("neo4j_schema")
VERSIONS = "MATCH (v:SchemaVersion {name: $name}) RETURN v.version"


def test_the_migrations_are_the_services() -> None:
    """To write them anew, print `schema.MIGRATIONS`, each statement with a semicolon at its end."""
    assert _neo4j_migrations.MIGRATIONS == schema.MIGRATIONS
    assert _neo4j_migrations.NAME == schema.NAME


@pytest.fixture
def apply(module, database):
    """A function that brings the database, emptied before, to the newest schema."""
    run_statement(database.uri, "MATCH (n) DETACH DELETE n")
    for (name,) in run_statement(database.uri, "SHOW CONSTRAINTS YIELD name RETURN name"):
        run_statement(database.uri, f"DROP CONSTRAINT {name}")
    for (name,) in run_statement(database.uri, "SHOW INDEXES YIELD name, type WHERE type <> 'LOOKUP' RETURN name"):
        run_statement(database.uri, f"DROP INDEX {name}")
    return partial(
        module, "neo4j_schema", uri=database.uri, neo4j_username=USERNAME, neo4j_password=PASSWORD, timeout=20
    )


def test_a_database_gets_its_schema_once(apply, database) -> None:
    planned = apply(check=True, diff=True)
    statements = [statement for script in schema.MIGRATIONS for statement in script]
    assert (planned["changed"], planned["pending"]) == (True, statements)
    assert planned["diff"][0]["after"].splitlines() == statements
    assert run_statement(database.uri, "SHOW CONSTRAINTS YIELD name RETURN count(*)") == [[0]]

    applied = apply()
    assert (applied["changed"], applied["version"], applied["newest"]) == (True, 0, len(schema.MIGRATIONS))
    assert PASSWORD not in str(applied)
    assert run_statement(database.uri, "SHOW INDEXES YIELD state RETURN DISTINCT state") == [["ONLINE"]]
    assert run_statement(database.uri, VERSIONS, name=schema.NAME) == [[len(schema.MIGRATIONS)]]

    again = apply()
    assert (again["changed"], again["pending"]) == (False, [])

    run_statement(database.uri, "MATCH (v:SchemaVersion) SET v.version = 99")
    assert apply()["msg"].startswith("the database has schema 99 and this collection knows up to")
    run_statement(database.uri, "MATCH (v:SchemaVersion) DETACH DELETE v")
    run_statement(database.uri, "CREATE (:Film)")
    foreign = apply()
    assert foreign["msg"] == "the database holds the graph of another application — name an empty one"
    assert run_statement(database.uri, VERSIONS, name=schema.NAME) == []


def test_several_may_do_it_at_once(apply, database) -> None:
    """The server refuses runs that wait for each other's locks: they try again, and the schema is there once."""
    with ThreadPoolExecutor(4) as pool:
        applied = [future.result() for future in [pool.submit(apply, timeout=60) for _ in range(4)]]
    assert [result.get("msg") for result in applied] == [None] * 4
    assert {result["newest"] for result in applied} == {len(schema.MIGRATIONS)}
    assert run_statement(database.uri, VERSIONS, name=schema.NAME) == [[len(schema.MIGRATIONS)]]
    assert run_statement(database.uri, "SHOW INDEXES YIELD state RETURN DISTINCT state") == [["ONLINE"]]
    assert apply(check=True)["pending"] == []


def test_a_database_that_a_graph_is_moved_into_is_left_alone(apply, database) -> None:
    run_statement(database.uri, "CREATE (:Move {name: 'memory-graph'})")
    assert apply()["msg"].startswith("a graph is being moved into the database — wait for `memory-graph migrate`")
    assert run_statement(database.uri, "SHOW CONSTRAINTS YIELD name RETURN count(*)") == [[0]]


def test_who_may_not_log_in_is_told_so(apply, database) -> None:
    refused = apply(neo4j_password="much-too-wrong")
    assert refused["msg"].startswith(f"Neo4j at {database.uri} refuses user {USERNAME} (")
    assert refused["msg"].endswith("— check user name and password")
    assert "much-too-wrong" not in str(refused)


@pytest.mark.parametrize(
    ("arguments", "begin", "end"),
    [
        ({"uri": "bolt://127.0.0.1:1"}, "Neo4j at bolt://127.0.0.1:1 does not answer: ", "TLS is asked for (+s)"),
        ({"uri": "127.0.0.1:7687"}, "127.0.0.1:7687 is no address of a Neo4j: ", "name one, as neo4j://db.example:7687"),
        ({"database": "films"}, "Neo4j at bolt://", "has no database films — create it, or name another"),
    ],
    ids=["nobody there", "no address", "no such database"],
)  # fmt: skip
def test_what_cannot_be_reached_is_said_with_the_way_out(apply, arguments, begin, end) -> None:
    refused = apply(**{"timeout": 3, **arguments})
    assert refused["msg"].startswith(begin)
    assert refused["msg"].endswith(end)
