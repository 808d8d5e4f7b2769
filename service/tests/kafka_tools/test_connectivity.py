"""Requests about a group whose coordinator moves to another broker."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException

from memory_graph.kafka.connectivity import retry_while_moving


def brokers(*codes: int):
    """Refuses with one code after another, then answers."""
    remaining = list(codes)

    def request() -> str:
        if remaining:
            raise KafkaException(KafkaError(remaining.pop(0)))
        return "answer"

    return request


def test_a_group_that_is_being_taken_over_is_asked_for_again():
    codes = (KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_LOAD_IN_PROGRESS)
    assert retry_while_moving(brokers(*codes), 60) == "answer"


@pytest.mark.parametrize(("code", "seconds"), [(KafkaError.NOT_COORDINATOR, -1), (KafkaError._TRANSPORT, 60)])
def test_but_not_for_ever_and_not_after_another_error(code: int, seconds: float):
    with pytest.raises(KafkaException) as raised:
        retry_while_moving(brokers(code), seconds)
    assert raised.value.args[0].code() == code
