"""Rates of topics from two snapshots of a group."""

from __future__ import annotations

from memory_graph.kafka.group_offsets import PartitionOffsets
from memory_graph.worker.status import TopicRate, topic_rates


def test_a_topic_s_lag_and_pace_are_those_of_its_partitions():
    first = [
        PartitionOffsets("a", 0, 0, 100, 150),
        PartitionOffsets("a", 1, 0, 100, 200),
        PartitionOffsets("b", 0, 0, None, 10),
    ]
    second = [
        PartitionOffsets("a", 0, 0, 140, 150),
        PartitionOffsets("a", 1, 0, 160, 220),
        PartitionOffsets("b", 0, 0, None, 14),
    ]
    assert topic_rates(first, second, 2.0) == [TopicRate("a", 70, -80, 50.0), TopicRate("b", 14, 4, 0.0)]


def test_what_the_broker_deleted_unread_is_no_lag_and_a_group_put_back_has_no_pace():
    truncated = topic_rates([PartitionOffsets("a", 0, 0, 10, 100)], [PartitionOffsets("a", 0, 60, 10, 100)], 1.0)
    assert truncated == [TopicRate("a", 40, -50, 0.0)]
    back = topic_rates([PartitionOffsets("a", 0, 0, 90, 100)], [PartitionOffsets("a", 0, 0, 30, 100)], 1.0)
    assert back == [TopicRate("a", 70, 60, 0.0)]
