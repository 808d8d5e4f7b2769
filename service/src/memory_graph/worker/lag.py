"""The lag of this process in its partitions, as a metric that autoscalers read (contract §3 L2, §8)."""

from __future__ import annotations

import asyncio

import structlog
from confluent_kafka import KafkaException
from prometheus_client import CollectorRegistry, Gauge

from memory_graph.config import Settings, SettingsError
from memory_graph.kafka.connectivity import KafkaUnreachable, cluster_metadata
from memory_graph.kafka.group_offsets import GroupReader, group_offsets
from memory_graph.worker.consumer import GroupMember
from memory_graph.worker.offsets import Partition

UPDATE_INTERVAL_S = 5.0
_REQUEST_TIMEOUT_S = 3.0
_TRANSIENT_ERRORS = (KafkaUnreachable, KafkaException, SettingsError, OSError)
"""Raised while brokers are away, or files of credentials are being replaced."""
_log = structlog.get_logger(__name__)


class LagGauge:
    """The gauge llm_memory_graph_kafka_lag_messages of a member's partitions. reachable: whether the brokers answered
    the last request."""

    def __init__(self, settings: Settings, member: GroupMember, registry: CollectorRegistry) -> None:
        self._settings = settings
        self._member = member
        self._reader = GroupReader(settings)
        self._labelled: set[Partition] = set()
        self._gauge = Gauge(
            "llm_memory_graph_kafka_lag_messages",
            "Records of a partition this process has that are not committed",
            ["topic", "partition"],
            registry=registry,
        )
        self.reachable = True

    async def update_loop(self) -> None:
        """Update the gauge until cancelled."""
        while True:
            await self.update()
            await asyncio.sleep(UPDATE_INTERVAL_S)

    async def update(self) -> None:
        """Update the gauge once. While the brokers are away the last known figures stay."""
        assigned = sorted(self._member.assigned)
        try:
            await asyncio.to_thread(cluster_metadata, self._reader.admin, self._settings, _REQUEST_TIMEOUT_S)
            offsets = await asyncio.to_thread(group_offsets, self._reader, assigned, _REQUEST_TIMEOUT_S)
        except _TRANSIENT_ERRORS as error:
            if self.reachable:
                _log.warning("Kafka does not answer", reason=str(error))
            self.reachable = False
            return
        self.reachable = True
        for current in offsets:
            self._gauge.labels(current.topic, current.partition).set(current.lag)
        for topic, partition in self._labelled - set(assigned):
            self._gauge.remove(topic, partition)
        self._labelled = set(assigned)
