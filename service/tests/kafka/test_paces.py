"""What two looks at a group say of its topics."""

from __future__ import annotations

from memory_graph.kafka.progress import Progress
from memory_graph.worker.status import TopicPace, paces


def test_a_topic_s_lag_and_pace_are_those_of_its_partitions():
    first = [Progress("a", 0, 0, 100, 150), Progress("a", 1, 0, 100, 200), Progress("b", 0, 0, None, 10)]
    second = [Progress("a", 0, 0, 140, 150), Progress("a", 1, 0, 160, 220), Progress("b", 0, 0, None, 14)]
    assert paces(first, second, 2.0) == [TopicPace("a", 70, -80, 50.0), TopicPace("b", 14, 4, 0.0)]


def test_what_the_broker_deleted_unread_is_no_lag_and_a_group_put_back_has_no_pace():
    gone = paces([Progress("a", 0, 0, 10, 100)], [Progress("a", 0, 60, 10, 100)], 1.0)
    assert gone == [TopicPace("a", 40, -50, 0.0)]
    back = paces([Progress("a", 0, 0, 90, 100)], [Progress("a", 0, 0, 30, 100)], 1.0)
    assert back == [TopicPace("a", 70, 60, 0.0)]
