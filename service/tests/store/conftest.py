"""A real Neo4j for the tests that ask for one."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from support.neo4j_server import Neo4jServer, wipe


@pytest.fixture(scope="session")
def neo4j_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a server that all tests of a run share. MEMORY_GRAPH_TEST_NEO4J names one that is running."""
    running = os.environ.get("MEMORY_GRAPH_TEST_NEO4J")
    if running:
        yield running
        return
    server = Neo4jServer(tmp_path_factory.mktemp("neo4j"))
    server.start()
    yield server.uri
    server.stop()


@pytest.fixture
def empty_neo4j(neo4j_server: str) -> str:
    """The same, without anything in it but the schema."""
    wipe(neo4j_server)
    return neo4j_server
