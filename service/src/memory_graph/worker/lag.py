"""How far this process is behind in its partitions, as a metric that autoscalers read (contract §3 L2, §8)."""

from __future__ import annotations

import asyncio

import structlog
from confluent_kafka import KafkaException
from prometheus_client import CollectorRegistry, Gauge

from memory_graph.config import Settings, SettingsError
from memory_graph.kafka.progress import GroupReader, progress
from memory_graph.kafka.reach import KafkaUnreachable, reached
from memory_graph.worker.consumer import GroupMember
from memory_graph.worker.offsets import Partition

INTERVAL_S = 5.0
"""How often the brokers are asked."""
_ANSWER_S = 3.0
_PASSING = (KafkaUnreachable, KafkaException, SettingsError, OSError)
"""What comes of brokers that are away, and of files of credentials that are just being replaced."""
_log = structlog.get_logger(__name__)


class LagGauge:
    """llm_memory_graph_kafka_lag_messages of the partitions a member has. reached: whether the brokers answered."""

    def __init__(self, settings: Settings, member: GroupMember, registry: CollectorRegistry) -> None:
        self._settings = settings
        self._member = member
        self._reader = GroupReader(settings)
        self._shown: set[Partition] = set()
        self._gauge = Gauge(
            "llm_memory_graph_kafka_lag_messages",
            "Records of a partition this process has that are not committed",
            ["topic", "partition"],
            registry=registry,
        )
        self.reached = True

    async def watch(self) -> None:
        """Keeps it up to date until it is cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(INTERVAL_S)

    async def look(self) -> None:
        """Asks the brokers once. While they are away the last known figures stand."""
        assigned = sorted(self._member.assigned)
        try:
            await asyncio.to_thread(reached, self._reader.admin, self._settings, _ANSWER_S)
            found = await asyncio.to_thread(progress, self._reader, assigned, _ANSWER_S)
        except _PASSING as error:
            if self.reached:
                _log.warning("Kafka does not answer", reason=str(error))
            self.reached = False
            return
        self.reached = True
        for one in found:
            self._gauge.labels(one.topic, one.partition).set(one.lag)
        for topic, partition in self._shown - set(assigned):
            self._gauge.remove(topic, partition)
        self._shown = set(assigned)
