"""A real Neo4j for the tests that ask for one."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from support.neo4j_server import Neo4jServer, wipe


@pytest.fixture(scope="session")
def neo4j_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neo4jServer]:
    """A server that all tests of a run share; one that kills it starts it again."""
    server = Neo4jServer(tmp_path_factory.mktemp("neo4j"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def neo4j_uri(request: pytest.FixtureRequest) -> str:
    """Where the server listens. MEMORY_GRAPH_TEST_NEO4J names one that is running: tests then start at once."""
    running = os.environ.get("MEMORY_GRAPH_TEST_NEO4J")
    if running:
        return running
    server: Neo4jServer = request.getfixturevalue("neo4j_process")
    return server.uri


@pytest.fixture
def empty_neo4j(neo4j_uri: str) -> str:
    """The same, without anything in it but the schema."""
    wipe(neo4j_uri)
    return neo4j_uri
