"""The command line against a real server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.cli import Cli, Ended, run_cli

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def cli(shared_server) -> Cli:
    """cli("session", "list") against a server that other tests use too."""

    def call(*arguments: str, address: str = shared_server.address, **options: Any) -> Ended:
        return run_cli(*arguments, MEMORY_GRAPH_ADDRESS=address, **options)

    return call


@pytest.fixture
def new_graph(serve, tmp_path_factory) -> Callable[[], Cli]:
    """new_graph() starts a server with an empty graph and yields a `cli` for it."""

    def start() -> Cli:
        server = serve(tmp_path_factory.mktemp("graph"))

        def call(*arguments: str, address: str = server.address, **options: Any) -> Ended:
            return run_cli(*arguments, MEMORY_GRAPH_ADDRESS=address, **options)

        call.address = server.address
        return call

    return start


@pytest.fixture(params=["travel-agent.jsonl", "support-triage.jsonl"])
def recording(request) -> Path:
    return DATA / request.param
