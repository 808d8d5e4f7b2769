"""The lag of a worker while its brokers are away, or what it needs to reach them is."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException
from prometheus_client import CollectorRegistry

from memory_graph.config import Settings, SettingsError
from memory_graph.kafka.connectivity import KafkaUnreachable
from memory_graph.kafka.group_offsets import PartitionOffsets
from memory_graph.worker import lag as module
from memory_graph.worker.lag import LagGauge


@pytest.fixture
def gauge() -> LagGauge:
    settings = Settings(kafka_bootstrap_servers="127.0.0.1:1")
    return LagGauge(settings, SimpleNamespace(assigned={("topic", 0)}), CollectorRegistry())


@pytest.mark.parametrize("where", ["cluster_metadata", "group_offsets"])
@pytest.mark.parametrize(
    "error",
    [KafkaUnreachable("no broker answers"), KafkaException(KafkaError(KafkaError._TIMED_OUT)),
     SettingsError("the file of the password is empty"), PermissionError("the file of the password")],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
async def test_brokers_that_cannot_be_asked_turn_readiness_until_they_can(gauge, monkeypatch, where, error):
    breaks = iter([error])

    def ask(*_: object) -> list[PartitionOffsets]:
        for problem in breaks:
            raise problem
        return [PartitionOffsets("topic", 0, 0, 5, 9)]

    monkeypatch.setattr(module, "cluster_metadata", lambda *_: None)
    monkeypatch.setattr(module, "group_offsets", lambda *_: [])
    monkeypatch.setattr(module, where, ask)
    await gauge.update()
    assert not gauge.reachable
    await gauge.update()
    assert gauge.reachable


async def test_a_mistake_of_ours_is_raised_for_whoever_supervises_it(gauge, monkeypatch):
    def broken(*_: object) -> None:
        raise LookupError("a mistake of ours")

    monkeypatch.setattr(module, "cluster_metadata", broken)
    with pytest.raises(LookupError):
        await gauge.update_loop()
