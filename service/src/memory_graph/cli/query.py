"""`memory-graph query`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import click
from google.protobuf.timestamp_pb2 import Timestamp

from memory_graph.cli.client import GraphClient, client_command, pairs
from memory_graph.cli.records import ARMS, record_of_node
from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb


class TimestampType(click.ParamType[Timestamp]):
    """An RFC 3339 time, or a date or time without a zone, which is taken in the zone of this machine."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Timestamp:
        try:
            time = dt.datetime.fromisoformat(str(value).upper()).astimezone(dt.UTC)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time such as 2026-03-01 or 2026-03-01T09:14:02Z", param, ctx)
        stamp = Timestamp()
        stamp.FromDatetime(time)
        return stamp


@client_command("query")
@click.option("--session", "session_id", metavar="ID", help="only of this session")
@click.option("--type", "kind", type=click.Choice(sorted(ARMS)), help="only of this type")
@click.option("--text", help="all of these words")
@click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="KEY=VALUE",
    callback=pairs,
    help="model, status, tool_name, finish_reason, metadata.<key> or custom.<key>; repeatable",
)
@click.option("--after", type=TimestampType(), help="created then or later")
@click.option("--before", type=TimestampType(), help="created then or earlier")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@click.option("--offset", type=click.IntRange(min=0), default=0, show_default=True)
def query(
    client: GraphClient,
    session_id: str | None,
    kind: str | None,
    text: str | None,
    filters: dict[str, str],
    after: Timestamp | None,
    before: Timestamp | None,
    limit: int,
    offset: int,
) -> None:
    """Finds nodes, newest first."""
    request = pb.QueryRequest(
        session_id=session_id,
        node_type=f"NODE_TYPE_{kind.upper()}" if kind else None,
        after=after,
        before=before,
        limit=limit,
        offset=offset,
        filters={**filters, **({"text": text} if text is not None else {})},
    )
    answer = client.call(client.graph.Query, request)
    if client.as_json:
        client.answer({"nodes": [record_of_node(node) for node in answer.nodes], "total_count": answer.total_count}, "")
        return
    from memory_graph.cli.terminal import excerpt, local_time, print_table  # noqa: PLC0415 - rich is slow to import

    rows = []
    for node in answer.nodes:
        arm = str(node.WhichOneof("node_data"))
        kind_name = pb.NodeType.Name(node.type).removeprefix("NODE_TYPE_").lower()
        summary = excerpt(_SUMMARY[arm](getattr(node, arm)), 200)
        rows.append((node.id, kind_name, local_time(node.created_at, with_date=True), summary))
    print_table(("ID", "TYPE", "CREATED", "WHAT"), rows)
    click.echo(f"{len(rows)} of {answer.total_count:,} nodes", err=True)


_SUMMARY: dict[str, Callable[..., str]] = {
    "session": lambda data: " ".join(f"{key}={value}" for key, value in sorted(data.metadata.items())),
    "prompt": lambda data: data.content,
    "response": lambda data: data.content,
    "tool_invocation": lambda data: f"{data.tool_name} {data.status} {data.error or data.parameters}",
    "agent": lambda data: f"{data.name} {data.role}",
    "template": lambda data: f"{data.name} {data.version} {data.template_text}",
    "model": lambda data: f"{data.provider} {data.model_id} {data.version}",
    "invocation": lambda data: f"{data.model_id} {data.status}",
    "metric": lambda data: f"{data.name} {data.value:g} {data.unit}",
    "error": lambda data: f"{data.error_type} {data.message}",
}
