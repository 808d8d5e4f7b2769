"""Events that other sources reject become dead letters too, and come back by Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Self

import grpc
import msgspec
import pytest
from structlog.testing import capture_logs

from ingest.samples import body, message
from memory_graph.config import Settings
from memory_graph.gen.llm.observatory.v1 import telemetry_stream_pb2 as pb
from memory_graph.ingest.telemetry.decode import from_json, from_message
from memory_graph.ingest.telemetry.events import Rejected
from memory_graph.ingest.topics import encode_body
from memory_graph.kafka import dead_letter_spool
from memory_graph.kafka.dead_letter_spool import DeadLetterSpool, expired
from memory_graph.kafka.dead_letters import DeadLetterQueue, RejectedRecord
from support.kafka_topics import read_all
from support.telemetry import Sender

pytestmark = pytest.mark.xdist_group("kafka")


def test_an_event_of_a_stream_that_is_refused_is_a_dead_letter(serve, cli, kafka, topic):
    server = serve(KAFKA_BOOTSTRAP_SERVERS=kafka, KAFKA_TOPICS=f"{topic}=llm-telemetry-events", KAFKA_EVENTS_TOPIC="")
    unknown = message("e-1")
    unknown.event_type = "llm.of.tomorrow"
    with grpc.insecure_channel(server.address) as channel:
        sender = Sender(channel)
        sender.send(message("e-0"), unknown)
        sender.end()
        assert [ack.success for ack in sender.acks] == [True, False]
    assert server.stop() == 0  # and what was rejected is written by then
    (record,) = read_all(kafka, f"{topic}-dlq")
    assert pb.Event.FromString(record.value()) == unknown
    assert record.key() == b"e-1"
    headers = dict(record.headers())
    assert headers["content-type"] == b"application/x-protobuf"
    assert headers["tenant-id"] == b"default"
    assert headers["x-original-offset"] == b"-1"
    assert headers["x-failure-reason"].startswith(b"unknown_type: event_type 'llm.of.tomorrow' is unknown")
    sent = cli("dlq", "redrive", "--all")
    assert f"→ {topic}  retry 1" in sent.out
    (back,) = read_all(kafka, topic)
    assert pb.Event.FromString(back.value()) == unknown


def test_an_event_that_was_checked_has_a_body_that_decodes_to_it():
    for event in (from_json(body("e-1", metadata={"session_id": "s"})), from_message(message("e-2"))):
        assert from_json(encode_body(event)) == event


async def test_while_kafka_is_away_a_bounded_part_is_kept(settings, monkeypatch):
    unreachable = settings.model_copy(update={"kafka_bootstrap_servers": "127.0.0.1:1"})
    monkeypatch.setattr(dead_letter_spool, "MAX_SPOOL_BYTES", 50_000)
    monkeypatch.setattr(dead_letter_spool, "_FLUSH_TIMEOUT_S", 0.1)
    counted: list[Rejected] = []
    with capture_logs() as logs:
        async with DeadLetterSpool(unreachable, counted.extend, "default") as spool:
            for number in range(100):
                spool.add([Rejected(f"e-{number}", "", "invalid", "no", body=bytes(1_000))])
                await asyncio.sleep(0)
            assert spool._bytes <= 50_000
    assert len(counted) == 100
    assert sum(line["event"].startswith("rejected events are not kept") for line in logs) == 1


class BreakingDeadLetterQueue:
    """Stands for the dead letters' queue: holds back, takes, or fails."""

    def __init__(self, fails: Callable[[RejectedRecord], bool]) -> None:
        self.fails = fails
        self.sent: list[str] = []
        self.open = asyncio.Event()
        self.open.set()

    async def send(self, records: Sequence[RejectedRecord]) -> None:
        await self.open.wait()
        for rejected in records:
            if self.fails(rejected):
                raise ValueError("a mistake")
        self.sent += [(rejected.key or b"").decode() for rejected in records]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


@pytest.fixture
def make_spool(monkeypatch):
    def make(
        fails: Callable[[RejectedRecord], bool] = lambda _: False,
    ) -> tuple[DeadLetterSpool, BreakingDeadLetterQueue]:
        queue = BreakingDeadLetterQueue(fails)
        monkeypatch.setattr(dead_letter_spool, "DeadLetterQueue", lambda _: queue)
        return DeadLetterSpool(Settings(), lambda _: None, "default"), queue

    return make


def _rejected(name: str, size: int = 10) -> Rejected:
    return Rejected(name, "", "invalid", "no", body=bytes(size))


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0)


async def test_what_fits_is_kept_and_written_at_once_whatever_does_not_fit(make_spool, monkeypatch):
    monkeypatch.setattr(dead_letter_spool, "MAX_SPOOL_BYTES", 10_000)
    spool, queue = make_spool()
    async with spool:
        spool.add([_rejected("small"), _rejected("large", 20_000), _rejected("smaller")])
        await _until(lambda: queue.sent == ["small", "smaller"])
    assert spool._bytes == 0


async def test_a_letter_that_cannot_be_written_ends_nothing_and_holds_no_bytes(make_spool):
    spool, queue = make_spool(lambda rejected: rejected.key == b"poison")
    async with spool:
        spool.add([_rejected("a"), _rejected("poison"), _rejected("b")])
        await _until(lambda: queue.sent == ["a", "b"])
        spool.add([_rejected("c")])
        await _until(lambda: queue.sent == ["a", "b", "c"])
        assert spool._bytes == 0


async def test_what_was_acknowledged_and_is_given_up_is_kept_before_it_is_counted(settings, kafka, topic):
    counted: list[Rejected] = []
    event = Rejected("e-1", "", "expired", "no prompt came", body=b'{"eventId": "e-1"}')
    async with DeadLetterQueue(settings) as queue:
        await expired(queue, settings, counted.extend)("acme", [event])
    (record,) = read_all(kafka, f"{topic}-dlq")
    assert msgspec.json.decode(record.value()) == {"eventId": "e-1"}
    assert dict(record.headers())["tenant-id"] == b"acme"
    assert counted == [event]
