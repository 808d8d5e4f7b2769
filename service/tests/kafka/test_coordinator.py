"""A coordinator that moves: what it refuses meanwhile neither ends a worker nor puts its group back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from confluent_kafka import KafkaError

from memory_graph.config import Settings
from memory_graph.worker.consumer import GroupMember
from memory_graph.worker.consumer_record import ConsumerRecord
from support.kafka_events import quick_records
from support.kafka_mock import OFFSET_COMMIT, OFFSET_FETCH, MockBroker
from support.kafka_topics import committed, produce
from support.telemetry import metric
from support.worker import Work, until

TOPIC = "events"
LAG = f'llm_memory_graph_kafka_lag_messages{{partition="0",topic="{TOPIC}"}}'
ANSWERED_LATE_MS = 2_000
"""An answer that comes after a later commit was taken."""
NEVER_MS = 3_600_000
STOP_TIMEOUT_S = 40.0
"""Less than what the client library waits for a commit of its own accord."""


@pytest.fixture
def broker() -> Iterator[MockBroker]:
    with MockBroker() as broker:
        broker.make_topic(TOPIC)
        yield broker


class DurableProcessor:
    """A record processor whose records are durable at once."""

    in_flight = bytes = count = 0

    def put(self, records: Sequence[ConsumerRecord], done: Callable[[float], None]) -> None:
        self.count += len(records)
        done(0.0)

    async def wait_until(self, condition: Callable[[], bool], _: float) -> bool:
        return condition()


@pytest.mark.parametrize("code", [KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.REQUEST_TIMED_OUT])
async def test_a_commit_that_is_made_again_does_not_put_the_group_back(
    broker: MockBroker, group: str, code: int
) -> None:
    settings = Settings(kafka_bootstrap_servers=broker.bootstrap, kafka_group=group, kafka_topics={TOPIC: TOPIC})
    processor, stopping = DurableProcessor(), asyncio.Event()
    member = GroupMember(settings, processor)
    await member.join()
    running = asyncio.create_task(member.run(stopping))
    broker.refuse(OFFSET_COMMIT, [code], after_ms=ANSWERED_LATE_MS)
    await asyncio.to_thread(produce, broker.bootstrap, TOPIC, quick_records(range(10)))
    await asyncio.to_thread(until, lambda: not broker.unrefused(OFFSET_COMMIT))
    await asyncio.to_thread(produce, broker.bootstrap, TOPIC, quick_records(range(10, 20)))
    await asyncio.to_thread(until, lambda: processor.count == 20)
    stopping.set()
    await running
    await member.leave(10)
    assert await asyncio.to_thread(committed, broker.bootstrap, group, TOPIC) == {0: 20}


@pytest.mark.parametrize("code", [KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE])
def test_a_worker_outlives_a_coordinator_that_moves_as_it_looks_at_its_lag(
    broker: MockBroker, work: Work, code: int
) -> None:
    produce(broker.bootstrap, TOPIC, quick_records(range(10)))
    worker = work(broker.bootstrap, TOPIC)
    until(lambda: worker.processed() == 10)
    broker.refuse(OFFSET_FETCH, [code])
    until(lambda: not broker.unrefused(OFFSET_FETCH))
    until(lambda: metric(worker, LAG) == 0, why=worker.standing)
    assert worker.is_ready
    assert worker.stop() == 0, worker.standing()


def test_a_worker_whose_last_commit_is_refused_says_so(broker: MockBroker, work: Work) -> None:
    broker.refuse(OFFSET_COMMIT, [KafkaError.REBALANCE_IN_PROGRESS] * 200)
    produce(broker.bootstrap, TOPIC, quick_records(range(10)))
    worker = work(broker.bootstrap, TOPIC)
    until(lambda: bool(worker.logged("offsets are not committed yet")))
    assert worker.stop() == 0
    (line,) = worker.logged("the last offsets are not committed: their records are read again")
    assert "rebalance in progress" in str(line["reason"])


def test_a_commit_that_is_not_answered_holds_up_neither_records_nor_the_end(broker: MockBroker, work: Work) -> None:
    broker.refuse(OFFSET_COMMIT, [KafkaError.REQUEST_TIMED_OUT], after_ms=NEVER_MS)
    produce(broker.bootstrap, TOPIC, quick_records(range(10)))
    worker = work(broker.bootstrap, TOPIC)
    until(lambda: not broker.unrefused(OFFSET_COMMIT))
    produce(broker.bootstrap, TOPIC, quick_records(range(10, 20)))
    until(lambda: worker.processed() == 20)
    began = time.monotonic()
    assert worker.stop() == 0
    assert time.monotonic() - began < STOP_TIMEOUT_S
    (line,) = worker.logged("the last offsets are not committed: their records are read again")
    assert line["reason"] == "Kafka does not answer"
