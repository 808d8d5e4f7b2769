"""Events as a graph, in the embedded store: whatever the order, however often, in one write or in many."""

from __future__ import annotations

import builtins
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.samples import AT_MS, PAYLOADS, message
from memory_graph.api.event_subscription import _to_wire
from memory_graph.ingest.planning import plan_write
from memory_graph.ingest.telemetry.decode import from_message
from memory_graph.ingest.telemetry.events import ARMS, COMPLETE, FAILURE, LATENCY, START, TOKENS
from memory_graph.ingest.telemetry.mapping import event_of
from memory_graph.ingest.write_planner import derived_id, node_id
from memory_graph.model.ids import new_id
from memory_graph.model.kinds import Direction, EdgeType, NodeType
from memory_graph.model.mutations import Write
from memory_graph.model.nodes import InvocationData, MetricData, Node, is_stub
from memory_graph.model.queries import NodeFilter
from memory_graph.store.sqlite import open_store
from store.graphs import TENANT

MODEL = derived_id("model", "acme", "large")


@pytest.fixture
async def store(tmp_path):
    opened = open_store(tmp_path / "graph.db")
    yield opened
    await opened.close()


async def put(store, *messages):
    planned = plan_write([from_message(sent) for sent in messages], new_id)
    applied = await store.apply(Write(tenant=TENANT, mutations=planned.creations))
    return [applied.results[index] for index in planned.indexes]


async def edges(store, id):
    listed = await store.get_edges(TENANT, id, Direction.BOTH, None)
    return {(edge.type, edge.from_id, edge.to_id) for edge in listed}


@pytest.mark.parametrize("event_type", PAYLOADS)
async def test_an_event_comes_back_from_its_node_as_it_was(store, event_type):
    for id in ("e-1", new_id(), new_id().upper()):
        event = from_message(message(id, event_type, metadata={"team": "docs"}))
        planned = plan_write([event], new_id)
        applied = await store.apply(Write(tenant=TENANT, mutations=planned.creations))
        (stored,) = await store.get_nodes(TENANT, [applied.results[planned.indexes[0]].id])
        assert event_of(stored) == event


async def test_a_uuid_is_the_nodes_own_id_and_any_other_id_is_found_by_metadata(store):
    uuid = new_id()
    first, second = await put(store, message(uuid), message("e-1"))
    assert first.id == uuid
    assert second.id == node_id("e-1") != node_id("e-2")
    page = await store.query(TENANT, NodeFilter(attributes=(("metadata.event_id", "e-1"),)), 9, 0)
    assert page.nodes == [second]


async def test_edges_of_each_type(store):
    session = new_id()
    messages = [
        message("start", START, metadata={"session_id": session}),
        message("done", metadata={"triggered_by_event_id": "start"}),
        message("tokens", TOKENS, metadata={"invocation_event_id": "done"}),
        message("latency", LATENCY),
        message("error", FAILURE, caused_by_event_id="done"),
    ]
    start, done, tokens, latency, error = (node.id for node in await put(store, *messages))
    assert await edges(store, start) == {
        (EdgeType.USES_MODEL, start, MODEL),
        (EdgeType.BELONGS_TO, start, session),
        (EdgeType.TRIGGERED_BY, done, start),
    }
    assert await edges(store, tokens) == {(EdgeType.HAS_METRIC, done, tokens), (EdgeType.USES_MODEL, tokens, MODEL)}
    assert await edges(store, latency) == {(EdgeType.HAS_METRIC, MODEL, latency)}
    assert await edges(store, error) == {(EdgeType.CAUSED_ERROR, done, error), (EdgeType.USES_MODEL, error, MODEL)}
    page = await store.query(TENANT, NodeFilter(session_id=session), 9, 0)
    assert [node.id for node in page.nodes] == [start]
    (model,) = (await store.query(TENANT, NodeFilter(type=NodeType.MODEL), 9, 0)).nodes
    assert (model.data.model_id, model.data.provider) == ("large", "acme")


async def test_a_session_known_by_another_name_is_one_session(store):
    first, second = await put(store, message("a", metadata={"session_id": "chat 7"}), message("b", metadata={
        "session_id": "chat 7"}))  # fmt: skip
    assert first.session_id == second.session_id
    (session,) = await store.get_nodes(TENANT, [first.session_id])
    assert session.data.metadata == {"session_id": "chat 7"}


async def test_an_effect_before_its_cause(store):
    (error,) = await put(store, message("error", FAILURE, caused_by_event_id="later"))
    (waiting,) = await store.get_nodes(TENANT, [node_id("later")])
    assert is_stub(waiting)
    (cause,) = await put(store, message("later", FAILURE, caused_by_event_id=""))
    assert (EdgeType.CAUSED_ERROR, cause.id, error.id) in await edges(store, error.id)
    assert cause.type is NodeType.ERROR


async def test_a_circle_of_causes_is_stored_whole(store):
    messages = [message(name, FAILURE, caused_by_event_id=cause) for name, cause in ("ab", "bc", "ca")]
    a, b, c = (node.id for node in await put(store, *messages))
    caused = {(start, end) for kind, start, end in await edges(store, a) if kind is EdgeType.CAUSED_ERROR}
    assert caused == {(b, a), (a, c)}
    assert (await store.query(TENANT, NodeFilter(type=NodeType.ERROR), 9, 0)).total_count == 3
    assert (await store.query(TENANT, NodeFilter(type=NodeType.INVOCATION), 9, 0)).total_count == 0


async def test_a_long_chain_of_causes_needs_no_stack(store):
    messages = [message(str(i), FAILURE, caused_by_event_id=str(i + 1)) for i in range(2_000)]
    planned = plan_write([from_message(sent) for sent in messages], new_id)
    assert len(planned.creations) == 2_000 + 2


NAMES = [f"event-{i}" for i in range(8)]
EVENTS = st.lists(
    st.builds(
        lambda name, type, cause: message(
            name,
            type,
            at=AT_MS + int(name[-1]),
            metadata={"invocation_event_id": cause} if type in (TOKENS, LATENCY) and cause != name else {},
            **({"caused_by_event_id": cause if cause != name else ""} if type == FAILURE else {}),
        ),
        st.sampled_from(NAMES),
        st.sampled_from([COMPLETE, TOKENS, LATENCY, FAILURE]),
        st.sampled_from(NAMES),
    ),
    max_size=8,
    unique_by=lambda sent: sent.event_id,
)


async def graph_of(path, writes):
    store = open_store(path)
    for messages in writes:
        await put(store, *messages)
    ids = [node_id(name) for name in NAMES]
    nodes = {node.id: (node.type, node.data, node.created_at if not is_stub(node) else 0) for node in
             await store.get_nodes(TENANT, ids)}  # fmt: skip
    links = {id: await edges(store, id) for id in nodes}
    total = await store.stats(TENANT)
    await store.close()
    return nodes, links, (total.nodes, total.edges)


@settings(max_examples=40)
@given(EVENTS, st.randoms(use_true_random=False))
async def test_order_batches_and_repeats_make_no_difference(tmp_path_factory, messages, chance: random.Random):
    folder = tmp_path_factory.mktemp("graphs")
    at_once = await graph_of(folder / "once.db", [messages])
    shuffled = [*messages, *messages]
    chance.shuffle(shuffled)
    writes = []
    while shuffled:
        size = chance.randint(1, len(shuffled))
        writes.append(shuffled[:size])
        del shuffled[:size]
    assert await graph_of(folder / "many.db", writes) == at_once


@pytest.mark.parametrize(
    ("data", "name", "expected"),
    [
        (InvocationData(model_id="m", status="success", token_count=2**40), "token_count", 2**31 - 1),
        (InvocationData(model_id="m", status="success", token_count=-5), "token_count", 0),
        (MetricData(name=TOKENS, value=float("inf")), "total_tokens", 0),
        (MetricData(name=TOKENS, value=float("nan")), "total_tokens", 0),
        (MetricData(name=TOKENS, value=2.0**63), "total_tokens", 2**63 - 1),
        (MetricData(name=TOKENS, metadata={"prompt_tokens": "9" * 5_000}), "prompt_tokens", 0),
        (MetricData(name=TOKENS, metadata={"prompt_tokens": "1_0"}), "prompt_tokens", 0),
        (MetricData(name=LATENCY, metadata={"percentile": "1_0"}), "percentile", 0.0),
        (MetricData(name=LATENCY, metadata={"percentile": "inf"}), "percentile", 0.0),
    ],
)
def test_what_a_client_wrote_into_a_node_is_an_event_that_fits_the_wire(data, name, expected):
    type = NodeType.INVOCATION if isinstance(data, InvocationData) else NodeType.PERFORMANCE_METRIC
    event = event_of(Node(id=node_id("e"), type=type, data=data, created_at=1, updated_at=1))
    assert getattr(event.payload, name) == expected
    assert getattr(getattr(_to_wire(event).payload, ARMS[builtins.type(event.payload)]), name) == expected
