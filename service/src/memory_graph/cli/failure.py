"""Failures of commands: one sentence on stderr and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click
import grpc

FAILED = 1
WRONG_INPUT = 2
NOT_FOUND = 3
UNREACHABLE = 4
TASK_FAILED = 70
"""EX_SOFTWARE of sysexits.h: a process that must be started again."""

_EXIT_CODES = {
    grpc.StatusCode.INVALID_ARGUMENT: WRONG_INPUT,
    grpc.StatusCode.NOT_FOUND: NOT_FOUND,
    grpc.StatusCode.UNAVAILABLE: UNREACHABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: UNREACHABLE,
}


class Failure(click.ClickException):
    """Ends the program with `memory-graph: <sentence>` on stderr and the exit code given."""

    def __init__(self, sentence: str, exit_code: int = FAILED) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance

    def show(self, file: object = None) -> None:  # noqa: ARG002 - click's signature
        click.echo(f"memory-graph: {self.format_message()}", err=True)


def failure_of(error: grpc.RpcError, address: str) -> Failure:
    """Translate an rpc's error for the user."""
    code, details = error.code(), error.details() or ""
    if code is grpc.StatusCode.UNAVAILABLE and not error.trailing_metadata():
        return Failure(
            f"no memory graph answers at {address} ({_short(details)});"
            " start one with `memory-graph serve`, or name it with --address or MEMORY_GRAPH_ADDRESS",
            UNREACHABLE,
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return Failure(f"{address} did not answer in time ({_short(details)}); raise --timeout", UNREACHABLE)
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return Failure(f"{address} is no memory graph, or an older one ({_short(details)})")
    return Failure(details or code.name, _EXIT_CODES.get(code, FAILED))


@contextmanager
def translated(address: str) -> Iterator[None]:
    """Turns errors of rpcs inside the block into `Failure`."""
    try:
        yield
    except grpc.RpcError as error:
        raise failure_of(error, address) from None


def _short(details: str) -> str:
    return " ".join(details.split())[:200]
