"""`memory-graph reset-offsets`: a group goes back, never on, and only while nobody reads."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from memory_graph.cli.time_option import parse_time_ms
from support.kafka_events import record
from support.kafka_topics import committed, produce
from support.worker import Stored, until

pytestmark = pytest.mark.xdist_group("kafka")


def test_workers_read_a_topic_again_and_the_graph_stays_as_it_is(cli, kafka, topic, work, group):
    produce(kafka, topic, [record(number) for number in range(30)])
    worker = work()
    until(lambda: worker.processed() == 30)
    until(lambda: sum(committed(kafka, group, topic).values()) == 30)
    active = cli("reset-offsets", "--topic", topic, "--from", "earliest", "--execute")
    assert active.code == 1
    assert f"group {group} has members, nothing was moved" in active.err
    assert sum(committed(kafka, group, topic).values()) == 30
    assert worker.stop() == 0

    before = committed(kafka, group, topic)
    dry_run = cli("reset-offsets", "--topic", topic, "--from", "0")
    assert dry_run.code == 0
    assert "would read 30 records again. --execute does it" in dry_run.out
    assert committed(kafka, group, topic) == before

    done = cli("reset-offsets", "--topic", topic, "--from", "0", "--execute", "--json").json
    assert (done["done"], done["records"]) == (True, 30)
    assert sum(committed(kafka, group, topic).values()) == 0
    stored = Stored(worker.data)
    again = work()
    until(lambda: again.processed(status="duplicate") == 30)
    assert again.stop() == 0
    assert Stored(again.data).events == stored.events
    assert Stored(again.data).edges == stored.edges


def test_a_group_goes_back_to_a_time_and_never_on(cli, kafka, topic, work, group):
    produce(kafka, topic, [record(1)], partition=0)
    time.sleep(0.01)  # records are told apart by milliseconds
    between = datetime.now(UTC).isoformat()
    produce(kafka, topic, [record(2), record(3)], partition=0)
    worker = work()
    until(lambda: worker.processed() == 3)
    assert worker.stop() == 0
    plan = cli("reset-offsets", "--topic", topic, "--from", between, "--json").json
    zero = plan["partitions"][0]
    assert (zero["committed"], zero["target"], zero["records"]) == (3, 1, 2)
    assert plan["records"] == 2
    produce(kafka, topic, [record(4)], partition=0)
    onward = cli("reset-offsets", "--topic", topic, "--from", "4", "--execute", "--json").json
    assert onward["records"] == 0
    assert committed(kafka, group, topic)[0] == 3


def test_what_cannot_be_read_again_is_said(cli, topic):
    assert "is neither a time" in cli("reset-offsets", "--topic", topic, "--from", "long ago").err
    unknown = cli("reset-offsets", "--topic", "nothing", "--from", "0")
    assert unknown.code == 3
    assert "there is no topic nothing" in unknown.err
    never = cli("reset-offsets", "--topic", topic, "--from", "0", "--json").json
    assert {partition["target"] for partition in never["partitions"]} == {None}


def test_times_as_people_give_them():
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert parse_time_ms("2h", now) == int(datetime(2026, 11, 21, 10, tzinfo=UTC).timestamp() * 1000)
    assert parse_time_ms("2026-11-21T10:00:00Z") == parse_time_ms("2h", now)
    assert parse_time_ms("2026-11-21T11:00:00+01:00") == parse_time_ms("2h", now)
    for wrong in ("", "2", "h", "-2h", "tomorrow"):
        with pytest.raises(ValueError, match="isoformat"):
            parse_time_ms(wrong)
