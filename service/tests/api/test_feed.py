"""Change feeds over gRPC: commit order, resumable, and never a silent end."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb
from memory_graph.gen.llm.memory.graph.v1.memory_graph_pb2_grpc import GraphQueryServiceStub, MemoryGraphServiceStub
from support.refusals import invalid, refused
from support.server import Serve

LIMIT_S = 60


@contextmanager
def listening(call: Any) -> Iterator[Any]:
    """The stream, once the server has subscribed it; cancelled at the end."""
    call.initial_metadata()
    try:
        yield call
    finally:
        call.cancel()


def take(stream: Any, count: int) -> list[Any]:
    return [next(stream) for _ in range(count)]


def test_a_session_is_watched_from_its_first_prompt_to_its_end(
    graph: MemoryGraphServiceStub, graph_query: GraphQueryServiceStub
) -> None:
    session = graph.CreateSession(pb.CreateSessionRequest()).id
    with listening(graph.SubscribeToSession(pb.SubscribeRequest(session_id=session), timeout=LIMIT_S)) as stream:
        prompt = graph.AddPrompt(pb.AddPromptRequest(session_id=session, content="secret words")).id
        graph.CreateSession(pb.CreateSessionRequest())
        graph_query.CloseSession(pb.CloseSessionRequest(session_id=session))
        created, edge, *rest = take(stream, 3)
    assert created.event.type == pb.EVENT_TYPE_NODE_CREATED
    assert json.loads(created.event.payload) == {"id": prompt, "kind": "PROMPT", "session_id": session}
    assert edge.event.type == pb.EVENT_TYPE_EDGE_CREATED
    assert rest[-1].event.type == pb.EVENT_TYPE_SESSION_CLOSED
    assert {event.session_id for event in (created, edge, *rest)} == {session}
    assert all("secret" not in event.event.payload for event in (created, edge, *rest))


def test_a_stream_resumes_after_the_last_event_seen(graph: MemoryGraphServiceStub) -> None:
    session = graph.CreateSession(pb.CreateSessionRequest()).id
    request = pb.StreamEventsRequest(session_id=session, event_types=[pb.EVENT_TYPE_NODE_CREATED])
    with listening(graph.StreamEvents(request, timeout=LIMIT_S)) as stream:
        first = graph.AddPrompt(pb.AddPromptRequest(session_id=session, content="1")).id
        (seen,) = take(stream, 1)
    assert json.loads(seen.payload)["id"] == first
    missed = [graph.AddPrompt(pb.AddPromptRequest(session_id=session, content=f"{n}")).id for n in range(5)]
    resumed = graph.StreamEvents(request, timeout=LIMIT_S, metadata=(("last-event-id", seen.id),))
    with listening(resumed) as stream:
        live = graph.AddPrompt(pb.AddPromptRequest(session_id=session, content="live")).id
        events = take(stream, 6)
    assert [json.loads(event.payload)["id"] for event in events] == [*missed, live]


def test_resuming_under_load_loses_and_repeats_nothing(graph: MemoryGraphServiceStub) -> None:
    session = graph.CreateSession(pb.CreateSessionRequest()).id
    request = pb.StreamEventsRequest(session_id=session, event_types=[pb.EVENT_TYPE_NODE_CREATED])
    with listening(graph.StreamEvents(request, timeout=LIMIT_S)) as stream:
        first = graph.AddPrompt(pb.AddPromptRequest(session_id=session, content="1")).id
        last = take(stream, 1)[0]
    with ThreadPoolExecutor(9) as pool:

        def write(number: int) -> str:
            return str(graph.AddPrompt(pb.AddPromptRequest(session_id=session, content=f"{number}")).id)

        writing = [pool.submit(write, number) for number in range(300)]
        seen = [last]
        while len(seen) < 301:
            metadata = (("last-event-id", seen[-1].id),)
            with listening(graph.StreamEvents(request, timeout=LIMIT_S, metadata=metadata)) as stream:
                seen += take(stream, min(50, 301 - len(seen)))
        prompts = {future.result() for future in writing}
    assert [json.loads(event.payload)["id"] for event in seen].count(first) == 1
    assert {json.loads(event.payload)["id"] for event in seen} == {first, *prompts}
    assert len({event.id for event in seen}) == 301


def test_deletions_are_events(graph: MemoryGraphServiceStub) -> None:
    session = graph.CreateSession(pb.CreateSessionRequest()).id
    with listening(graph.StreamEvents(pb.StreamEventsRequest(session_id=session), timeout=LIMIT_S)) as stream:
        prompt = graph.AddPrompt(pb.AddPromptRequest(session_id=session, content="x")).id
        graph.DeleteNode(pb.DeleteNodeRequest(node_id=prompt))
        types = [event.type for event in take(stream, 4)]
    assert sorted(types) == sorted(
        [
            pb.EVENT_TYPE_NODE_CREATED,
            pb.EVENT_TYPE_EDGE_CREATED,
            pb.EVENT_TYPE_EDGE_DELETED,
            pb.EVENT_TYPE_NODE_DELETED,
        ]
    )


def test_wrong_subscriptions_are_refused(graph: MemoryGraphServiceStub) -> None:
    with refused(grpc.StatusCode.NOT_FOUND):
        next(graph.SubscribeToSession(pb.SubscribeRequest(session_id=str(uuid.uuid4()))))
    with invalid("session_id", "event_types[0]"):
        next(graph.StreamEvents(pb.StreamEventsRequest(session_id="x", event_types=[99])))
    with invalid("last-event-id"):
        next(graph.StreamEvents(pb.StreamEventsRequest(), metadata=(("last-event-id", "x"),)))


@pytest.mark.slow
def test_a_slow_subscriber_is_told_where_to_resume(serve: Serve) -> None:
    server = serve(FEED_BUFFER_EVENTS=100)
    # A small window, so that the server cannot hand events to a client that does not read.
    small = [("grpc.http2.lookahead_bytes", 1024), ("grpc.http2.bdp_probe", 0)]
    with (
        grpc.insecure_channel(server.address) as writing,
        grpc.insecure_channel(server.address, options=small) as reading,
    ):
        writer, reader = MemoryGraphServiceStub(writing), MemoryGraphServiceStub(reading)
        session = writer.CreateSession(pb.CreateSessionRequest()).id
        stream = reader.StreamEvents(pb.StreamEventsRequest(), timeout=LIMIT_S)
        stream.initial_metadata()
        nodes = [
            pb.Node(type=pb.NODE_TYPE_PROMPT, prompt=pb.PromptNode(session_id=session, content="x"))
            for _ in range(2000)
        ]
        for _ in range(5):
            writer.BatchCreateNodes(pb.BatchCreateNodesRequest(nodes=nodes), timeout=LIMIT_S)
        seen = []
        with refused(grpc.StatusCode.RESOURCE_EXHAUSTED) as refusal:
            seen.extend(stream)
        last = refusal.trailing["last-event-id"]
        if seen:
            assert last == seen[-1].id
        assert last in refusal.text
        resumed = reader.StreamEvents(pb.StreamEventsRequest(), timeout=LIMIT_S, metadata=(("last-event-id", last),))
        created = sum(event.type == pb.EVENT_TYPE_NODE_CREATED for event in seen)
        while created < 5 * len(nodes):
            seen.append(next(resumed))
            created += seen[-1].type == pb.EVENT_TYPE_NODE_CREATED
        assert len({event.id for event in seen}) == len(seen)
        resumed.cancel()


BREAKS_THE_FEED = """
from memory_graph.plugins import Plugin
from memory_graph.store.feed import Feed

class BreaksTheFeed(Plugin):
    name = "breaks-the-feed"

publish, commits = Feed.publish, iter(range(3))

def broken(self, tenant, events):
    if next(commits, None) == 2:
        raise LookupError("sabotage")
    publish(self, tenant, events)

Feed.publish = broken
"""


def test_a_commit_that_cannot_be_told_ends_the_stream_which_resumes_with_it(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "breaks.py").write_text(BREAKS_THE_FEED)
    server = serve(PLUGIN_DIRS=tmp_path / "plugins")
    with grpc.insecure_channel(server.address) as channel:
        graph = MemoryGraphServiceStub(channel)
        session = graph.CreateSession(pb.CreateSessionRequest()).id
        request = pb.StreamEventsRequest(event_types=[pb.EVENT_TYPE_NODE_CREATED])
        with listening(graph.StreamEvents(request, timeout=LIMIT_S)) as stream:
            seen, unseen, later = [
                graph.AddPrompt(pb.AddPromptRequest(session_id=session, content=text)).id for text in "123"
            ]
            assert json.loads(take(stream, 1)[0].payload)["id"] == seen
            with refused(grpc.StatusCode.UNAVAILABLE) as refusal:
                next(stream)
        assert "resume after the last event" in refusal.text
        after = [("last-event-id", refusal.trailing["last-event-id"])]
        with listening(graph.StreamEvents(request, metadata=after, timeout=LIMIT_S)) as stream:
            assert [json.loads(event.payload)["id"] for event in take(stream, 2)] == [unseen, later]
