"""`memory-graph worker` and `worker status`, as people and machines see them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from support.kafka_events import quick_records
from support.kafka_topics import new_topic, produce
from support.processes import free_port
from support.worker import Work, until


def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "memory_graph.cli", *arguments]
    return subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.xdist_group("kafka")
def test_status_shows_each_partition_its_lag_and_who_reads_it(kafka: str, work: Work, group: str) -> None:
    topic = new_topic(kafka, partitions=2)
    settings = {"KAFKA_BOOTSTRAP_SERVERS": kafka, "KAFKA_GROUP": group, "KAFKA_TOPICS": topic}
    produce(kafka, topic, quick_records(range(40)), partition=1)
    before = json.loads(run("worker", "status", "--json", **settings).stdout)
    assert (before["group"], before["lag"], before["members"]) == (group, 40, 0)
    assert before["topics"] == [{"topic": topic, "lag": 40, "lag_change": 0, "per_second": 0.0}]
    assert before["this_worker"] is None
    assert before["partitions"][1] == {
        "topic": topic, "partition": 1, "committed": None, "end": 40, "lag": 40, "consumer": None
    }  # fmt: skip
    worker = work(kafka, topic)
    until(lambda: worker.processed() == 40)
    until(lambda: json.loads(run("worker", "status", "--json", **settings).stdout)["lag"] == 0)
    ended = run("worker", "status", **settings, METRICS_PORT=str(worker.metrics_port))
    assert ended.returncode == 0
    head, rate, local, _, columns, empty, full = ended.stdout.splitlines()
    assert head == f"group {group}   stable   members 1   lag 0"
    assert rate == f"topic {topic}   lag 0 (=)   0 ev/s   dead-lettered 0"
    assert local == "this worker   buffer 0 %   breaker embedded closed"
    assert columns.split() == ["TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "CONSUMER"]
    assert empty.split()[:5] == [topic, "0", "-", "0", "0"]
    assert full.split() == [topic, "1", "40", "40", "0", "memory-graph", "127.0.0.1"]
    assert worker.stop() == 0


@pytest.mark.xdist_group("kafka")
@pytest.mark.parametrize("command", [("worker",), ("worker", "status")])
def test_a_topic_that_is_not_there_is_named(kafka: str, command: tuple[str, ...], tmp_path) -> None:
    existing = new_topic(kafka)
    ended = run(
        *command, KAFKA_BOOTSTRAP_SERVERS=kafka, KAFKA_TOPICS=f"{existing}=llm.prompts.v1,gone=llm.prompts.v1",
        DB_PATH=str(tmp_path), METRICS_PORT="0",
    )  # fmt: skip
    assert ended.returncode == 1
    assert ended.stderr == (
        f"memory-graph: there is no topic gone at {kafka}: make it, or name others with KAFKA_TOPICS\n"
    )


@pytest.mark.parametrize("command", [("worker",), ("worker", "status", "--timeout", "1")])
def test_brokers_that_do_not_answer_are_one_sentence(command: tuple[str, ...], tmp_path) -> None:
    address = f"127.0.0.1:{free_port()}"
    ended = run(*command, KAFKA_BOOTSTRAP_SERVERS=address, DB_PATH=str(tmp_path), METRICS_PORT="0")
    assert ended.returncode == 4
    assert ended.stderr.startswith(f"memory-graph: no Kafka broker answers at {address} (")
    assert ended.stderr.endswith("set KAFKA_BOOTSTRAP_SERVERS and KAFKA_SECURITY_PROTOCOL to one that does\n")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "KAFKA_BOOTSTRAP_SERVERS is not set: name the brokers"),
        ({"KAFKA_BOOTSTRAP_SERVERS": "kafka-1"}, "'kafka-1' must be like kafka-1.example:9092"),
        ({"KAFKA_TOPICS": "mine=theirs"}, "KAFKA_TOPICS: bodies of theirs cannot be read; there are llm-telemetry-ev"),
        ({"KAFKA_TOPICS": " , "}, "KAFKA_TOPICS=' , ': it names no topic"),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "SASL_SSL needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD or"),
        ({"KAFKA_CA_FILE": "/nowhere.pem"}, "KAFKA_CA_FILE=/nowhere.pem cannot be read"),
    ],
)
def test_wrong_settings_are_one_sentence(settings: dict[str, str], sentence: str, tmp_path) -> None:
    servers = "127.0.0.1:1" if settings else ""
    ended = run("worker", **{"KAFKA_BOOTSTRAP_SERVERS": servers, "DB_PATH": str(tmp_path), **settings})
    assert ended.returncode == 2
    assert sentence in ended.stderr
