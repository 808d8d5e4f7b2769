"""`memory-graph health` and `memory-graph version`."""

from __future__ import annotations

import json

import click
from google.protobuf.empty_pb2 import Empty

from memory_graph import __version__
from memory_graph.cli.client import GraphClient, client_command
from memory_graph.cli.failure import FAILED
from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb


@client_command("health")
def health(client: GraphClient) -> None:
    """Asks the server whether it serves; exit code 1 when it does not."""
    answer = client.call(client.graph.Health, Empty())
    status = pb.HealthResponse.ServingStatus.Name(answer.status)
    document = {"status": status, "version": answer.version, "uptime_seconds": answer.uptime_seconds}
    client.answer(document, f"{status}  version {answer.version}  up {answer.uptime_seconds:,} s")
    if answer.status != pb.HealthResponse.SERVING:
        raise click.exceptions.Exit(FAILED)


@click.command("version")
@click.option("--json", "as_json", is_flag=True, help="answer in JSON")
def version(as_json: bool) -> None:
    """Prints the version of this program."""
    click.echo(json.dumps({"version": __version__}) if as_json else __version__)
