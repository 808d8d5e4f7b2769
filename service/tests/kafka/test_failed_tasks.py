"""Real workers in which a background task ends: none goes on without it."""

from __future__ import annotations

import pytest

from support.kafka_topics import new_topic
from support.sabotage import Saboteur, ended_for, failures
from support.worker import Work, until


@pytest.mark.xdist_group("kafka")
@pytest.mark.parametrize(
    ("ended", "task"),
    [("health", "health"), ("kafka-lag", "kafka-lag"), ("kafka-intake", "kafka-records"), ("outbox", "outbox"),
     ("kafka-consumer", "kafka-consumer"), ("telemetry-pipeline", "telemetry-pipeline")],
)  # fmt: skip
def test_a_worker_without_one_of_its_tasks_ends(
    kafka: str, work: Work, saboteur: Saboteur, ended: str, task: str
) -> None:
    events = {"KAFKA_EVENTS_TOPIC": new_topic(kafka)} if task == "outbox" else {}
    worker = work(kafka, new_topic(kafka), **saboteur.settings, **events)
    until(lambda: worker.is_ready)
    assert failures(worker)[task] == 0
    saboteur.end(ended, "raise")
    ended_for(worker, task, "LookupError: sabotage")
