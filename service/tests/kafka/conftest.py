"""Workers of tests: each test has topics and a group of its own."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.worker import Work, WorkerProcess


@pytest.fixture
def group() -> str:
    return f"group-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def work(tmp_path: Path, group: str) -> Iterator[Work]:
    """Starts workers: work(bootstrap, topic, data=…, SETTING=value). Those still running are killed at the end."""
    started: list[WorkerProcess] = []

    def start(
        bootstrap: str, *topics: str, data: Path | None = None, ready: bool = True, **settings: object
    ) -> WorkerProcess:
        worker = WorkerProcess(
            data or tmp_path / "data",
            {
                "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
                "KAFKA_TOPICS": ",".join(
                    topic if "=" in topic else f"{topic}=llm-telemetry-events" for topic in topics
                ),
                "KAFKA_GROUP": group,
                "KAFKA_EVENTS_TOPIC": "",
                **{name: str(value) for name, value in settings.items()},
            },
        )
        started.append(worker)
        if ready:
            worker.wait_ready()
        return worker

    yield start
    for worker in started:
        if worker.process.poll() is None:
            worker.stop(signal.SIGKILL)
