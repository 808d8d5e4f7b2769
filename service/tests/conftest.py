"""Real servers for tests that speak to one: of ours, Neo4j and Kafka."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import structlog
from hypothesis import settings
from hypothesis.internal.conjecture import providers

from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2_grpc as rpc
from support.disks import mounted
from support.kafka_server import KafkaCluster
from support.kafka_topics import await_coordinator
from support.neo4j_server import Neo4jServer, wipe
from support.sabotage import Saboteur
from support.server import Serve, ServerProcess

# By default structlog paints a traceback with the values of all variables, which takes seconds where they are large.
structlog.configure(processors=[structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)])

# Each run generates the same examples; --hypothesis-profile=random has others, to search for what these do not show.
settings.register_profile("random", settings.get_profile("ci"), derandomize=False)
settings.load_profile("ci")
# Constants of whatever the process has imported by then would make others of them, run by run and edit by edit.
providers.HypothesisProvider._local_constants = providers.Constants()

_SERVERS = {"kafka": "kafka", "kafka_process": "kafka", "neo4j_uri": "neo4j", "neo4j_process": "neo4j"}
"""Fixtures that start a server, and the group of tests that share it."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share a server are one group, which one process runs; the groups are first, as they take longest."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            groups = [_SERVERS[name] for name in getattr(item, "fixturenames", ()) if name in _SERVERS]
            for group in groups[:1]:
                item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts servers: serve(data=…, ready=True, SETTING=value). Those still running are killed at the end."""
    started: list[ServerProcess] = []

    def start(data: Path | None = None, *, ready: bool = True, **settings: object) -> ServerProcess:
        server = ServerProcess(data or tmp_path / "data", {key: str(value) for key, value in settings.items()})
        started.append(server)
        return server.wait_ready() if ready else server

    yield start
    for server in started:
        if server.process.poll() is None:
            server.stop(signal.SIGKILL)


@pytest.fixture
def saboteur(tmp_path: Path) -> Saboteur:
    """Ends background tasks of a process that is started with its settings."""
    return Saboteur(tmp_path / "saboteur")


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server for every test that only adds its own sessions to it."""
    server = ServerProcess(tmp_path_factory.mktemp("shared"), {}).wait_ready()
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="session")
def channel(shared_server: ServerProcess) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(shared_server.address) as opened:
        yield opened


@pytest.fixture(scope="session")
def graph(channel: grpc.Channel) -> rpc.MemoryGraphServiceStub:
    return rpc.MemoryGraphServiceStub(channel)


@pytest.fixture(scope="session")
def graph_query(channel: grpc.Channel) -> rpc.GraphQueryServiceStub:
    return rpc.GraphQueryServiceStub(channel)


@pytest.fixture(scope="session")
def neo4j_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neo4jServer]:
    """A server that all tests of a run share; one that kills it starts it again."""
    server = Neo4jServer(tmp_path_factory.mktemp("neo4j"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def neo4j_uri(request: pytest.FixtureRequest) -> str:
    """The URI of the server. MEMORY_GRAPH_TEST_NEO4J names one that is running: tests then start at once."""
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


@pytest.fixture(scope="session")
def kafka_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """One broker that all tests of a run share; one that kills it starts it again."""
    cluster = KafkaCluster(tmp_path_factory.mktemp("kafka") / "cluster")
    cluster.start()
    await_coordinator(cluster.bootstrap)
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> str:
    """The address of the broker; tests make topics of their own on it (`new_topic`). MEMORY_GRAPH_TEST_KAFKA names one
    that is running: tests then start at once."""
    running = os.environ.get("MEMORY_GRAPH_TEST_KAFKA")
    if running:
        return running
    cluster: KafkaCluster = request.getfixturevalue("kafka_process")
    return cluster.bootstrap


@pytest.fixture(scope="module")
def kafka_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """Three brokers, for tests that kill one."""
    cluster = KafkaCluster(tmp_path_factory.mktemp("kafka") / "cluster", brokers=3)
    cluster.start()
    yield cluster
    cluster.stop()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A 64 MiB file system, 40 MiB of it ballast."""
    with mounted(tmp_path / "disk", 40) as disk:
        yield disk
