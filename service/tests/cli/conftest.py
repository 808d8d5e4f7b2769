"""The command line against a real server."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from memory_graph.cli import main

DATA = Path(__file__).parents[1] / "data"


@dataclass
class Ended:
    """An ended command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


Cli = Callable[..., Ended]


def run_cli(*arguments: str, address: str, stdin: bytes = b"", **env: str) -> Ended:
    """In this process: what starts a process of its own says so."""
    ended = CliRunner(env={"MEMORY_GRAPH_ADDRESS": address, **env}).invoke(main, arguments, input=stdin)
    if ended.exception is not None and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    return Ended(ended.exit_code, ended.stdout, ended.stderr)


@pytest.fixture
def cli(shared_server) -> Cli:
    """cli("session", "list") against a server that other tests use too."""

    def call(*arguments: str, **options: Any) -> Ended:
        return run_cli(*arguments, **{"address": shared_server.address, **options})

    return call


@pytest.fixture
def new_graph(serve, tmp_path_factory) -> Callable[[], Cli]:
    """new_graph() starts a server with an empty graph and yields a `cli` for it."""

    def start() -> Cli:
        server = serve(tmp_path_factory.mktemp("graph"))

        def call(*arguments: str, **options: Any) -> Ended:
            return run_cli(*arguments, **{"address": server.address, **options})

        call.address = server.address
        return call

    return start


@pytest.fixture(params=["travel-agent.jsonl", "support-triage.jsonl"])
def recording(request) -> Path:
    return DATA / request.param
