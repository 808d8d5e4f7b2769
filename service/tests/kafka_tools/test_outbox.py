"""The publisher of the change feed over a real store; what it writes is caught."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import asynccontextmanager

import pytest
from confluent_kafka import KafkaError, KafkaException
from google.protobuf import json_format
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from memory_graph.api.to_wire import event_to_wire
from memory_graph.config import SettingsError
from memory_graph.gen.llm.memory.graph.v1 import memory_graph_pb2 as pb
from memory_graph.kafka import outbox
from memory_graph.kafka.outbox import READER, OutboxMetrics, Publisher
from memory_graph.kafka.producer import ProducerRecord
from memory_graph.model.errors import StoreCorrupt, StoreUnavailable
from memory_graph.store.sqlite import open_store
from store.graphs import agent, prompt, session, write

TOPIC = "events"


class FakeBroker:
    """Takes records; refuses the first `refusals` batches."""

    def __init__(self, refusals: int = 0) -> None:
        self.batches: list[list[ProducerRecord]] = []
        self.refusals = refusals
        self.accepting = asyncio.Event()
        self.accepting.set()
        self.requested = asyncio.Event()

    async def send(self, records: Iterable[ProducerRecord]) -> dict[int, KafkaError]:
        batch = list(records)
        self.requested.set()
        await self.accepting.wait()
        if self.refusals:
            self.refusals -= 1
            return {0: KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)}
        self.batches.append(batch)
        return {}

    @property
    def events(self) -> list[pb.Event]:
        return [json_format.Parse(record.body, pb.Event()) for batch in self.batches for record in batch]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(outbox, "POLL_S", 0.01)
    monkeypatch.setattr(outbox, "RENEW_S", 0.05)
    monkeypatch.setattr(outbox, "_MIN_BACKOFF_S", 0.01)


@pytest.fixture
async def store(tmp_path):
    opened = open_store(tmp_path / "graph.db", keep_changes=20)
    yield opened
    await opened.close()


@asynccontextmanager
async def publishing(store, broker: FakeBroker):
    metrics = OutboxMetrics(CollectorRegistry())
    task = asyncio.create_task(Publisher(store, broker.send, TOPIC, metrics).run())
    yield metrics
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(condition) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - gauges tell nobody
            await asyncio.sleep(0.005)


async def cursor(store) -> int:
    return await store.claim_cursor(READER, "test", 1)


async def published(store, seq: int) -> None:
    async with asyncio.timeout(20):
        while await cursor(store) < seq:  # noqa: ASYNC110 - so does the store
            await asyncio.sleep(0.005)


async def test_what_is_committed_goes_out_in_order_as_the_feed_tells_it(store):
    opened = session()
    writes = [write(opened), write(prompt(opened.node.id)), write(agent("a")), write(agent("b"), tenant="other")]
    broker = FakeBroker()
    async with publishing(store, broker):
        applied = [await store.apply(item) for item in writes]
        await published(store, 4)
    assert broker.events == [event_to_wire(event) for item in applied for event in item.events]
    records = [record for batch in broker.batches for record in batch]
    session_key = opened.node.id.encode()
    assert [record.key for record in records[:3]] == [session_key, session_key, session_key]
    assert records[-1].key == applied[-1].events[0].subject_id.encode()
    assert [dict(record.headers)["tenant-id"] for record in records] == [b"default"] * (len(records) - 1) + [b"other"]
    assert dict(records[0].headers) == {
        "tenant-id": b"default",
        "schema_version": b"1",
        "source": b"memory-graph",
        "content-type": b"application/json",
    }


async def test_a_publisher_goes_on_where_the_last_one_was(store):
    await store.apply(write(agent("a")))
    first, second = FakeBroker(), FakeBroker()
    async with publishing(store, first):
        await published(store, 1)
    await store.apply(write(agent("b")))
    async with publishing(store, second):
        await published(store, 2)
    assert [event.id for event in first.events] == ["1.0"]
    assert [event.id for event in second.events] == ["2.0"]


async def test_the_cursor_waits_for_the_acknowledgements(store):
    broker = FakeBroker()
    broker.accepting.clear()
    async with publishing(store, broker):
        await store.apply(write(agent("a")))
        await broker.requested.wait()
        assert await cursor(store) == 0
        broker.accepting.set()
        await published(store, 1)


async def test_what_the_brokers_refuse_is_written_again_and_said(store):
    broker = FakeBroker(refusals=2)
    with capture_logs() as logs:
        async with publishing(store, broker):
            await store.apply(write(agent("a")))
            await published(store, 1)
    assert [event.id for event in broker.events] == ["1.0"]
    assert sum(line["event"] == "the change feed waits" for line in logs) == 2


async def test_commits_that_were_dropped_unpublished_are_told_of_loudly(store):
    broker = FakeBroker()
    async with publishing(store, broker):
        await store.apply(write(agent("first")))
        await published(store, 1)
    for i in range(50):
        await store.apply(write(agent(str(i))))
    remaining = (await store.commits(0, 1_000)).commits
    with capture_logs() as logs:
        async with publishing(store, broker) as metrics:
            await published(store, 51)
    lost = remaining[0].seq - 2
    assert lost > 0
    assert [event.id for event in broker.events] == [
        "1.0",
        *(event.id for commit in remaining for event in commit.events),
    ]
    (line,) = [line for line in logs if line["log_level"] == "error"]
    assert (line["commits"], line["first"], line["last"]) == (lost, 2, remaining[0].seq - 1)
    assert metrics.lost._value.get() == lost


async def test_a_store_that_was_never_published_begins_with_what_it_keeps(store):
    for i in range(50):
        await store.apply(write(agent(str(i))))
    remaining = (await store.commits(0, 1_000)).commits
    broker = FakeBroker()
    with capture_logs() as logs:
        async with publishing(store, broker) as metrics:
            await published(store, 50)
    assert broker.events[0].id == remaining[0].events[0].id
    assert not [line for line in logs if line["log_level"] == "error"]
    assert metrics.lost._value.get() == 0


async def test_lag_is_what_is_not_written_yet(store):
    broker = FakeBroker()
    broker.accepting.clear()
    for i in range(3):
        await store.apply(write(agent(str(i))))
    async with publishing(store, broker) as metrics:
        await broker.requested.wait()
        assert metrics.lag._value.get() == 3
        await store.apply(write(agent("meanwhile")))
        await until(lambda: metrics.lag._value.get() == 4)
        broker.accepting.set()
        await until(lambda: metrics.lag._value.get() == 0)
        assert metrics.published._value.get() == 4


@pytest.mark.parametrize(
    "error",
    [StoreCorrupt("damaged"), StoreUnavailable("away"), KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN)),
     SettingsError("the file of the password is empty"), FileNotFoundError("the file of the password")],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
@pytest.mark.parametrize("where", ["store", "broker"])
async def test_what_passes_is_waited_for(store, monkeypatch, error, where):
    broker = FakeBroker()
    breaks = iter([error, error])

    async def broken(*arguments):
        for problem in breaks:
            raise problem
        return await (commits if where == "store" else send)(*arguments)

    commits, send = store.commits, broker.send
    monkeypatch.setattr(*((store, "commits", broken) if where == "store" else (broker, "send", broken)))
    await store.apply(write(agent("a")))
    async with publishing(store, broker):
        await published(store, 1)
    assert [event.id for event in broker.events] == ["1.0"]


async def test_a_mistake_of_ours_ends_the_publisher_for_whoever_supervises_it(store, monkeypatch):
    async def broken(*_):
        raise LookupError("a mistake of ours")

    monkeypatch.setattr(store, "commits", broken)
    with pytest.raises(LookupError):
        await asyncio.wait_for(Publisher(store, FakeBroker().send, TOPIC, OutboxMetrics(CollectorRegistry())).run(), 20)
