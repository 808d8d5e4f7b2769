# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The migrations that a database lacks are applied in order."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ClusterError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.backends import _neo4j_schema
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.backends._neo4j_schema import (
    Neo4jDatabase,
    Neo4jLogin,
    migrate,
    open_session,
    schema_status,
)

THREE = (("one", "two"), ("three",), ("four",))


class Session:
    """A database that says which schema it has, and keeps what it is told."""

    def __init__(self, version, *, used=True, moving=False):
        self.version, self.used, self.moving, self.statements = version, used, moving, []

    def run(self, statement, **values):
        self.statements.append((statement, values))
        if "AS used" in statement:
            row = {"version": self.version, "used": self.used, "moving": self.moving}
            return SimpleNamespace(single=lambda strict: row)
        return SimpleNamespace(consume=lambda: None)

    def execute_write(self, work, *arguments, **values):
        work(SimpleNamespace(run=lambda statement, values: self.run(statement, **values)), *arguments, **values)


@pytest.fixture
def three(monkeypatch):
    monkeypatch.setattr(_neo4j_schema, "MIGRATIONS", THREE)


@pytest.mark.usefixtures("three")
def test_what_is_lacking_is_applied_in_order_and_each_schema_is_noted():
    session = Session(1)
    now = schema_status(session)
    assert now.pending == ["three", "four"]
    session.statements.clear()
    migrate(session, _neo4j_schema.SchemaStatus(1, 3))
    statements = [statement.strip().split("\n")[0] for statement, values in session.statements]
    merge = "MERGE (v:SchemaVersion {name: $name})"
    wait = "CALL db.awaitIndexes($seconds)"
    assert statements == ["three", wait, merge, "four", wait, merge]
    assert [values["version"] for statement, values in session.statements if "version" in values] == [2, 3]


@pytest.mark.usefixtures("three")
def test_the_newest_schema_lacks_nothing():
    session = Session(3)
    assert schema_status(session).pending == []
    session.statements.clear()
    migrate(session, _neo4j_schema.SchemaStatus(3, 3))
    assert session.statements == []


@pytest.mark.parametrize(
    ("session", "sentence"),
    [
        (Session(None, used=True), "the database holds the graph of another application — name an empty one"),
        (Session(99), "the database has schema 99 and this collection knows up to"),
        (Session(None, moving=True), "a graph is being moved into the database — wait for `memory-graph migrate`"),
    ],
    ids=["another application's", "a newer schema", "being moved into"],
)
def test_a_database_that_is_not_ours_is_refused(session, sentence):
    with pytest.raises(ClusterError) as refused:
        schema_status(session)
    assert str(refused.value).startswith(sentence)
    assert all("AS used" in statements[0] for statements in session.statements)


def test_an_empty_database_lacks_everything():
    now = schema_status(Session(None, used=False))
    assert (now.version, now.newest) == (0, len(_neo4j_schema.MIGRATIONS))
    assert now.pending[0].startswith("CREATE CONSTRAINT schema_version_name IF NOT EXISTS")


@pytest.mark.skipif(_neo4j_schema.neo4j is None, reason="needs the driver")
@pytest.mark.parametrize(
    ("uri", "ca", "sentence"),
    [
        ("bolt://127.0.0.1:1", None, "Neo4j at bolt://127.0.0.1:1 does not answer: "),
        ("graph.example", None, "graph.example is no address of a Neo4j: "),
        ("bolt+s://127.0.0.1:1", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
         "the CA of the database is no PEM certificate"),
    ],
    ids=["nobody there", "no address", "no CA"],
)  # fmt: skip
def test_what_does_not_answer_is_said_in_a_sentence(uri, ca, sentence):
    with (
        pytest.raises(ClusterError) as refused,
        open_session(Neo4jDatabase(uri, "neo4j"), Neo4jLogin("neo4j", "hunter22", ca), 2) as session,
    ):
        schema_status(session)
    assert str(refused.value).startswith(sentence)
    assert "hunter22" not in str(refused.value)
