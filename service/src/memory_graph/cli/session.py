"""`memory-graph session create|list|show|close|delete`."""

from __future__ import annotations

import click

from memory_graph.cli.client import GraphClient, client_command, pairs
from memory_graph.cli.records import Record, record_of_edge, record_of_node
from memory_graph.cli.session_view import SessionView
from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb


def session_record(session: pb.Session) -> Record:
    """A session as a record, with the time of its last change."""
    node = pb.Node(id=session.id, type=pb.NODE_TYPE_SESSION, created_at=session.created_at, session=session)
    return record_of_node(node)


@client_command("create")
@click.option("--metadata", multiple=True, metavar="KEY=VALUE", callback=pairs, help="repeatable")
def create(client: GraphClient, metadata: dict[str, str]) -> None:
    """Makes a session and prints its id."""
    session = client.call(client.graph.CreateSession, pb.CreateSessionRequest(metadata=metadata))
    client.answer(session_record(session), session.id)


@client_command("list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@click.option("--offset", type=click.IntRange(min=0), default=0, show_default=True)
def list_sessions(client: GraphClient, limit: int, offset: int) -> None:
    """Lists sessions, newest first."""
    page = client.call(client.graph.ListSessions, pb.ListSessionsRequest(limit=limit, offset=offset))
    if client.as_json:
        document = {"sessions": [session_record(session) for session in page.sessions], "total_count": page.total_count}
        client.answer(document, "")
        return
    from memory_graph.cli.terminal import clean, local_time, print_table  # noqa: PLC0415 - rich is slow to import

    rows = [
        (
            session.id,
            local_time(session.created_at, with_date=True),
            "active" if session.is_active else "closed",
            clean(" ".join(f"{key}={value}" for key, value in sorted(session.metadata.items()))),
        )
        for session in page.sessions
    ]
    print_table(("SESSION", "CREATED", "STATE", "METADATA"), rows)
    if offset + len(rows) < page.total_count:
        click.echo(f"{len(rows)} of {page.total_count:,} sessions; --offset {offset + len(rows)} shows more", err=True)


@client_command("show")
@click.argument("session_id")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="newest prompts to show")
def show(client: GraphClient, session_id: str, limit: int) -> None:
    """Draws a session: prompts, their responses, the tools these called."""
    view = SessionView(client, session_id, limit)
    if client.as_json:
        document = {
            "session": session_record(view.session),
            "counts": {name.replace(" ", "_"): count for name, count in view.counts.items()},
            "nodes": [record_of_node(node) for node in view.nodes()],
            "edges": [record_of_edge(edge) for edge in view.follows.values()],
        }
        client.answer(document, "")
        return
    from memory_graph.cli.tree import session_tree  # noqa: PLC0415 - rich is slow to import

    session_tree(view)


@client_command("close")
@click.argument("session_id")
def close(client: GraphClient, session_id: str) -> None:
    """Ends a session. Closing a closed session changes nothing."""
    session = client.call(client.graph_query.CloseSession, pb.CloseSessionRequest(session_id=session_id))
    client.answer(session_record(session), f"{session.id} closed")


@client_command("delete")
@click.argument("session_id")
def delete(client: GraphClient, session_id: str) -> None:
    """Deletes a session and everything in it."""
    client.call(client.graph.DeleteSession, pb.DeleteSessionRequest(session_id=session_id))
    client.answer({"deleted": session_id}, f"{session_id} deleted")
