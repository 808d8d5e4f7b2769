"""The command line against a real broker: each test has topics and groups of its own."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from memory_graph.config import Settings
from memory_graph.kafka import dlq_reader
from memory_graph.worker import status
from support.cli import Cli, Ended, run_cli
from support.kafka_topics import new_topic
from support.worker import Work, WorkerProcess


@pytest.fixture
def topic(kafka: str) -> str:
    """One with a place for dead letters."""
    name = new_topic(kafka)
    new_topic(kafka, f"{name}-dlq", partitions=2)
    return name


@pytest.fixture
def group() -> str:
    return f"group-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def settings(kafka: str, topic: str, group: str) -> Settings:
    return Settings(kafka_bootstrap_servers=kafka, kafka_topics=f"{topic}=llm-telemetry-events", kafka_group=group)


@pytest.fixture(autouse=True)
def redrive_group(monkeypatch: pytest.MonkeyPatch) -> str:
    """A group that no other test moves."""
    name = f"redrive-{uuid.uuid4().hex[:12]}"
    for module in (dlq_reader, status):
        monkeypatch.setattr(module, "REDRIVE_GROUP", name)
    return name


@pytest.fixture
def cli(settings: Settings) -> Cli:
    """cli("dlq", "list"), in this process."""
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "KAFKA_TOPICS": ",".join(f"{name}={contract}" for name, contract in settings.kafka_topics.items()),
        "KAFKA_GROUP": settings.kafka_group,
    }

    def call(*arguments: str, **env: str) -> Ended:
        return run_cli(*arguments, **environment | env)

    return call


@pytest.fixture
def work(tmp_path: Path, settings: Settings) -> Iterator[Work]:
    """Starts a worker on the topic. It is killed at the end where it still runs."""
    started: list[WorkerProcess] = []

    def start() -> WorkerProcess:
        (topic,) = settings.kafka_topics
        environment = {
            "KAFKA_BOOTSTRAP_SERVERS": str(settings.kafka_bootstrap_servers),
            "KAFKA_TOPICS": f"{topic}=llm-telemetry-events",
            "KAFKA_GROUP": settings.kafka_group,
            "KAFKA_EVENTS_TOPIC": "",
        }
        started.append(WorkerProcess(tmp_path / "data", environment))
        started[-1].wait_ready()
        return started[-1]

    yield start
    for worker in started:
        if worker.process.poll() is None:
            worker.stop(signal.SIGKILL)
