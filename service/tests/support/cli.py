"""Commands, run in this process: what starts a process of its own says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from click.testing import CliRunner

from memory_graph.cli import main


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


def run_cli(*arguments: str, stdin: bytes = b"", **env: str) -> Ended:
    """Run `memory-graph` with these arguments in that environment."""
    result = CliRunner(env=env).invoke(main, arguments, input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ended(result.exit_code, result.stdout, result.stderr)
