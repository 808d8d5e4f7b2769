"""The gRPC client of commands: connection options, the connection, output."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
import grpc

from memory_graph.cli.failure import WRONG_INPUT, Failure, translated
from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2_grpc as rpc

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""Largest answer accepted, whatever the server's own limit."""
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class GraphClient:
    """A connection to one memory graph. timeout: seconds for one call."""

    def __init__(self, address: str, channel: grpc.Channel, timeout: float, *, as_json: bool) -> None:
        self.address = address
        self.timeout = timeout
        self.as_json = as_json
        self.graph: Any = rpc.MemoryGraphServiceStub(channel)  # type: ignore[no-untyped-call]
        self.graph_query: Any = rpc.GraphQueryServiceStub(channel)  # type: ignore[no-untyped-call]

    def call(self, method: Callable[..., Any], request: object) -> Any:  # noqa: ANN401 - the stubs are untyped
        """One unary call within the time limit."""
        return method(request, timeout=self.timeout)

    def answer(self, document: object, text: str) -> None:
        """Prints the document for machines, or the text for people."""
        click.echo(json.dumps(document, ensure_ascii=False) if self.as_json else text)


def client_command(name: str, *, reports_json: bool = True) -> Callable[[Callable[..., None]], click.Command]:
    """Makes a command of a function whose first argument is a connected `Client`."""

    def decorate(function: Callable[..., None]) -> click.Command:
        @functools.wraps(function)
        def run(
            address: str,
            tls_ca: Path | None,
            tls_cert: Path | None,
            tls_key: Path | None,
            timeout: float,
            as_json: bool = False,
            **arguments: Any,  # noqa: ANN401 - the options of any command
        ) -> None:
            with _channel(address, tls_ca, tls_cert, tls_key) as channel, translated(address):
                function(GraphClient(address, channel, timeout, as_json=as_json), **arguments)

        options = _CONNECTION if reports_json else _CONNECTION[:-1]
        command: Callable[..., None] = run
        for option in reversed(options):
            command = option(command)
        return click.command(name)(command)

    return decorate


_CONNECTION = (
    click.option(
        "--address",
        envvar="MEMORY_GRAPH_ADDRESS",
        default="127.0.0.1:50051",
        show_default=True,
        show_envvar=True,
        help="host:port of the server",
    ),
    click.option(
        "--tls-ca", type=_FILE, envvar="MEMORY_GRAPH_TLS_CA", help="PEM file with the CAs to trust; makes it TLS"
    ),
    click.option(
        "--tls-cert", type=_FILE, envvar="MEMORY_GRAPH_TLS_CERT", help="PEM file with the client's certificate"
    ),
    click.option("--tls-key", type=_FILE, envvar="MEMORY_GRAPH_TLS_KEY", help="PEM file with the key of --tls-cert"),
    click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=30.0,
        show_default=True,
        help="seconds for one call",
    ),
    click.option("--json", "as_json", is_flag=True, help="answer in JSON"),
)


def _channel(address: str, tls_ca: Path | None, tls_cert: Path | None, tls_key: Path | None) -> grpc.Channel:
    options = [("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)]
    if (tls_cert is None) != (tls_key is None):
        raise Failure("--tls-cert and --tls-key must be given together", WRONG_INPUT)
    if tls_ca is None:
        if tls_cert is not None:
            raise Failure("--tls-cert needs --tls-ca, the CAs that the server's certificate is checked by", WRONG_INPUT)
        return grpc.insecure_channel(address, options=options)
    credentials = grpc.ssl_channel_credentials(
        tls_ca.read_bytes(), tls_key.read_bytes() if tls_key else None, tls_cert.read_bytes() if tls_cert else None
    )
    return grpc.secure_channel(address, credentials, options=options)


def pairs(_context: click.Context, parameter: click.Parameter, values: Iterable[str]) -> dict[str, str]:
    """Callback of an option that takes `key=value` many times."""
    result: dict[str, str] = {}
    for text in values:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{text!r} is not key=value", param=parameter)
        if key in result:
            raise click.BadParameter(f"{key!r} is given twice", param=parameter)
        result[key] = value
    return result


def text_or_stdin(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Callback of a text argument: `-` reads the text from standard input."""
    if value != "-":
        return value
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise Failure(f"standard input is not UTF-8 at byte {error.start}", WRONG_INPUT) from None
