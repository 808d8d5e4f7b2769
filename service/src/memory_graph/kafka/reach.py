"""Whether the brokers answer and the topics are there, said in a sentence where not."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._metadata import ClusterMetadata, TopicMetadata

from memory_graph.config import Settings
from memory_graph.kafka.settings import client_settings

_MOVING = (
    KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)  # fmt: skip
"""What brokers say of a group that another of them takes over, or whose offsets have no topic yet."""
_UNKNOWN_USER = (KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED)
_UNTRUSTED = "certificate verify failed"
_AGAIN_S = 0.1
_SOON_S = 1.0
"""How long brokers may be silent until they are asked whether they refuse us."""
_WHERE_AND_WHEN = re.compile(r"^\w+://\S+: | \(after .*\)$")

T = TypeVar("T")
Client = AdminClient | Consumer | Producer


class KafkaUnreachable(Exception):
    """The brokers do not answer, or not to us; the text says which and the way out."""


class UnknownTopic(Exception):
    """A topic is not there; the text says the way out."""


def reached(client: Client, settings: Settings, seconds: float = 10.0) -> ClusterMetadata:
    """What the cluster says of itself; blocks for about that many seconds at most, and for less where it refuses us.
    Raises `KafkaUnreachable`."""
    limit = time.monotonic() + seconds
    try:
        return client.list_topics(timeout=min(seconds, _SOON_S))
    except KafkaException as raised:
        error: KafkaError = raised.args[0]
    cause = _cause(settings, max(seconds / 2, _SOON_S)) or error
    left = limit - time.monotonic()
    if left > 0 and not _refuses(cause):
        try:
            return client.list_topics(timeout=left)
        except KafkaException:
            pass  # the cause says more
    raise unreachable(cause, settings)


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
    reason = _WHERE_AND_WHEN.sub("", error.str())
    if error.code() in _UNKNOWN_USER:
        return KafkaUnreachable(
            f"the Kafka brokers {brokers} refuse user {settings.kafka_sasl_username} ({reason}):"
            " set KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and KAFKA_SASL_MECHANISM to what they know"
        )
    if _UNTRUSTED in reason:
        trusted = f"KAFKA_CA_FILE={settings.kafka_ca_file}" if settings.kafka_ca_file else "this system"
        return KafkaUnreachable(
            f"the certificate of the Kafka brokers {brokers} is of no CA that {trusted} trusts, or for other names:"
            " set KAFKA_CA_FILE to their CAs, and KAFKA_BOOTSTRAP_SERVERS to names in their certificates"
        )
    return KafkaUnreachable(
        f"no Kafka broker answers at {brokers} ({reason}):"
        " start one, or set KAFKA_BOOTSTRAP_SERVERS and KAFKA_SECURITY_PROTOCOL to one that does"
    )


def _cause(settings: Settings, seconds: float) -> KafkaError | None:
    """What is between us and the brokers. A call that fails does not know it: the client library says it aside."""
    heard: list[KafkaError] = []
    asking = AdminClient(client_settings(settings) | {"error_cb": heard.append})
    limit = time.monotonic() + seconds
    while time.monotonic() < limit and not any(error.code() == KafkaError._ALL_BROKERS_DOWN for error in heard):
        asking.poll(_AGAIN_S)
    telling = [error for error in heard if error.code() != KafkaError._ALL_BROKERS_DOWN]
    return next(filter(_refuses, telling), telling[0] if telling else None)


def _refuses(error: KafkaError) -> bool:
    """Whether it does not heal by waiting."""
    return error.code() in _UNKNOWN_USER or _UNTRUSTED in error.str()
