"""Whether the brokers answer and the topics are there, said in a sentence where not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._metadata import ClusterMetadata, TopicMetadata

from memory_graph.config import Settings

_MOVING = (
    KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)  # fmt: skip
"""What brokers say of a group that another of them takes over, or whose offsets have no topic yet."""
_AGAIN_S = 0.1

T = TypeVar("T")
Client = AdminClient | Consumer | Producer


class KafkaUnreachable(Exception):
    """The brokers do not answer, or not to us; the text says which and the way out."""


class UnknownTopic(Exception):
    """A topic is not there; the text says the way out."""


def reached(client: Client, settings: Settings, seconds: float = 10.0) -> ClusterMetadata:
    """What the cluster says of itself; blocks for at most that many seconds. Raises `KafkaUnreachable`."""
    try:
        return client.list_topics(timeout=seconds)
    except KafkaException as raised:
        raise unreachable(raised.args[0], settings) from None


def known(
    client: Client, settings: Settings, topics: Iterable[str], seconds: float = 10.0
) -> Mapping[str, TopicMetadata]:
    """The topics named; as `reached`. Raises `KafkaUnreachable`, and `UnknownTopic` naming all that are missing."""
    there = reached(client, settings, seconds).topics
    missing = [topic for topic in topics if topic not in there]
    if missing:
        raise UnknownTopic(
            f"there is no topic {', '.join(missing)} at {settings.kafka_bootstrap_servers}:"
            " make it, or name others with KAFKA_TOPICS"
        )
    return {topic: there[topic] for topic in topics}


def of_group(ask: Callable[[], T], seconds: float) -> T:
    """What the brokers answer about a group. One that is only just taking the group over, or whose offsets have no
    topic yet, is asked again for about so many seconds. Raises KafkaException."""
    limit = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except KafkaException as raised:
            if raised.args[0].code() not in _MOVING or time.monotonic() > limit:
                raise
        time.sleep(_AGAIN_S)


def unreachable(error: KafkaError, settings: Settings) -> KafkaUnreachable:
    """An error of the client as a sentence."""
    brokers = settings.kafka_bootstrap_servers
    if error.code() in (KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED):
        return KafkaUnreachable(
            f"the Kafka brokers {brokers} refuse user {settings.kafka_sasl_username}:"
            " set KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and KAFKA_SASL_MECHANISM to what they know"
        )
    return KafkaUnreachable(
        f"no Kafka broker answers at {brokers} ({error.str()}):"
        " start one, or set KAFKA_BOOTSTRAP_SERVERS and KAFKA_SECURITY_PROTOCOL to one that does"
    )
