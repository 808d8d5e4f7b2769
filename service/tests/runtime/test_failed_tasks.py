"""Real processes in which a background task ends: none goes on without it, and each says why it ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.neo4j_server import PASSWORD, USERNAME
from support.processes import free_port
from support.sabotage import Saboteur, ended_for, failures, http_status
from support.server import Serve, ServerProcess
from support.worker import until


@contextmanager
def held_open(server: ServerProcess) -> Iterator[None]:
    """Keeps one call running, so that a drain takes its time and can be looked at."""
    with grpc.insecure_channel(server.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        yield
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()


def test_every_loop_of_a_server_is_supervised(serve: Serve, tmp_path: Path) -> None:
    server = serve(KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port()}")
    assert failures(server).items() >= dict.fromkeys(SERVER_TASKS, 0.0).items()


SERVER_TASKS = (
    "health",
    "grpc-server",
    "rest-server",
    "outbox",
    "telemetry-pipeline",
    "waiting-responses",
    "rejections",
    "telemetry-writes",
    "smoke-test-expiry",
)


@pytest.mark.parametrize(
    ("task", "how", "reason"),
    [
        *((task, "raise", "LookupError: sabotage") for task in SERVER_TASKS if task != "grpc-server"),
        ("health", "cancel", "it was cancelled"),
    ],
)
def test_a_server_without_one_of_its_tasks_ends(
    serve: Serve, saboteur: Saboteur, task: str, how: str, reason: str
) -> None:
    kafka = {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}"} if task in ("outbox", "rejections") else {}
    server = serve(**saboteur.settings, **kafka, DRAIN_SECONDS=30)
    assert http_status(server, "/healthz") == 200
    with held_open(server):
        saboteur.end(task, how)
        until(lambda: failures(server)[task] == 1)
        assert http_status(server, "/healthz") == 503
    ended_for(server, task, reason)


def test_a_server_whose_grpc_server_fails_ends(serve: Serve, saboteur: Saboteur) -> None:
    """At once: the calls that a drain would wait for end with it, so there is none to be looked at."""
    server = serve(**saboteur.settings, DRAIN_SECONDS=30)
    saboteur.end("grpc-server", "raise")
    ended_for(server, "grpc-server", "LookupError: sabotage")


def test_a_task_that_returns_ends_its_process_too(serve: Serve, tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "returns.py").write_text(RETURNS)
    server = serve(ready=False, PLUGIN_DIRS=plugins)
    ended_for(server, "health", "it returned")


RETURNS = """
from memory_graph.plugins import Plugin
from memory_graph.runtime.probe import StoreProbe

class Returns(Plugin):
    name = "returns"

async def health_loop(self):
    return

StoreProbe.health_loop = health_loop
"""


def test_a_process_that_cannot_shut_down_after_a_failed_task_is_ended(serve: Serve, tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "hangs.py").write_text(HANGS)
    server = serve(ready=False, PLUGIN_DIRS=plugins, DRAIN_SECONDS=1)
    assert server.wait() == 1
    assert any(line["message"] == "background task ended" for line in server.log)
    assert "Timeout (0:00:03)!" in "".join(server.output), "where each thread stood"


HANGS = """
import asyncio
from memory_graph.plugins import Plugin, PluginHost
from memory_graph.runtime import opening
from memory_graph.runtime.probe import StoreProbe

class Hangs(Plugin):
    name = "hangs"

async def health_loop(self):
    return

async def close(self, seconds):
    await asyncio.Event().wait()

opening.SHUTDOWN_TIMEOUT_S = 2.0
StoreProbe.health_loop = health_loop
PluginHost.close = close
"""


@pytest.mark.xdist_group("neo4j")
def test_a_server_that_no_longer_follows_the_commits_of_others_ends(
    serve: Serve, saboteur: Saboteur, empty_neo4j: str
) -> None:
    server = serve(
        **saboteur.settings, STORE="neo4j", NEO4J_URI=empty_neo4j, NEO4J_USERNAME=USERNAME, NEO4J_PASSWORD=PASSWORD,
        DRAIN_SECONDS=30,
    )  # fmt: skip
    with held_open(server):
        saboteur.end("commit-follower", "raise")
        until(lambda: failures(server)["commit-follower"] == 1)
        assert http_status(server, "/healthz") == 503
    ended_for(server, "commit-follower", "LookupError: sabotage")
