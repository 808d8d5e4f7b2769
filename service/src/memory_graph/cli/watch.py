"""`memory-graph watch`: the change feed, live."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import click
import grpc
from google.protobuf.empty_pb2 import Empty

from memory_graph.cli.client import GraphClient, client_command
from memory_graph.cli.failure import failure_of
from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb

_BREAKS = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
"""How the server ends a stream that is to be resumed."""
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 5.0


@client_command("watch")
@click.option("--session", "session_id", metavar="ID", help="only this session")
@click.option("--after", metavar="EVENT_ID", help="begin after this event; without it, with what happens from now on")
def watch(client: GraphClient, session_id: str | None, after: str | None) -> None:
    """Follows what changes until Ctrl-C; after an interruption it goes on where it was."""
    try:
        for event in _events(client, session_id, after):
            _print(event, as_json=client.as_json)
    except KeyboardInterrupt:
        return


def _events(client: GraphClient, session_id: str | None, last: str | None) -> Iterator[pb.Event]:
    client.call(client.graph.Health, Empty())
    pause = _FIRST_PAUSE_S
    while True:
        try:
            for event in _open(client, session_id, last):
                pause, last = _FIRST_PAUSE_S, event.id
                yield event
        except grpc.RpcError as error:
            if error.code() not in _BREAKS:
                raise
            last = last or _resume_id(error)
            if pause == _FIRST_PAUSE_S:
                position = f"resuming after event {last}" if last else "what changes meanwhile is not shown"
                click.echo(f"{failure_of(error, client.address).message}; {position}", err=True)
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_S)


def _resume_id(error: grpc.RpcError) -> str | None:
    trailers: Any = error.trailing_metadata() or ()
    return next((str(value) for key, value in trailers if key == "last-event-id"), None)


def _open(client: GraphClient, session_id: str | None, last: str | None) -> Iterator[pb.Event]:
    metadata = (("last-event-id", last),) if last else ()
    if session_id is None:
        yield from client.graph.StreamEvents(pb.StreamEventsRequest(), metadata=metadata)
        return
    request = pb.SubscribeRequest(session_id=session_id)
    for answer in client.graph.SubscribeToSession(request, metadata=metadata):
        yield answer.event


def _print(event: pb.Event, *, as_json: bool) -> None:
    payload = json.loads(event.payload or "{}")
    kind = pb.EventType.Name(event.type).removeprefix("EVENT_TYPE_").lower()
    if as_json:
        document = {"event_id": event.id, "type": kind, "timestamp": event.timestamp.ToJsonString(), **payload}
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    session = f"  session {payload['session_id']}" if payload.get("session_id") else ""
    stamp = event.timestamp.ToJsonString()[11:19]
    click.echo(f"{event.id:>12}  {stamp}  {kind:<15} {payload.get('kind', ''):<16} {payload.get('id', '')}{session}")
