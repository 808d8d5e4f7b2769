"""Metadata of the cluster and its topics; a broker or a topic that is missing is an error with the way out."""

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

_COORDINATOR_MOVING = (
    KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)  # fmt: skip
"""Errors of a group whose coordinator moves to another broker, or whose offsets have no topic yet."""
_UNKNOWN_USER = (KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED)
_UNTRUSTED = "certificate verify failed"
_RETRY_INTERVAL_S = 0.1
_DIAGNOSE_AFTER_S = 1.0
"""How long brokers may be silent until the cause is looked for."""
_ADDRESS_AND_TIMING = re.compile(r"^\w+://\S+: | \(after .*\)$")

T = TypeVar("T")
Client = AdminClient | Consumer | Producer


class KafkaUnreachable(Exception):
    """The brokers do not answer, or not to us; the text says which and the way out."""


class UnknownTopic(Exception):
    """A topic is not there; the text says the way out."""


def cluster_metadata(client: Client, settings: Settings, timeout_s: float = 10.0) -> ClusterMetadata:
    """Return the metadata of the cluster. Blocks for at most about the timeout, and for less where the brokers refuse
    this client. Raises `KafkaUnreachable`."""
    limit = time.monotonic() + timeout_s
    try:
        return client.list_topics(timeout=min(timeout_s, _DIAGNOSE_AFTER_S))
    except KafkaException as raised:
        error: KafkaError = raised.args[0]
    cause = _diagnose(settings, max(timeout_s / 2, _DIAGNOSE_AFTER_S)) or error
    remaining_s = limit - time.monotonic()
    if remaining_s > 0 and not _is_permanent(cause):
        try:
            return client.list_topics(timeout=remaining_s)
        except KafkaException:
            pass  # the cause says more
    raise unreachable(cause, settings)


def topic_metadata(
    client: Client, settings: Settings, topics: Iterable[str], timeout_s: float = 10.0
) -> Mapping[str, TopicMetadata]:
    """Return the metadata of the topics named; blocks like `cluster_metadata`. Raises `KafkaUnreachable`, and
    `UnknownTopic` naming all that are missing."""
    existing = cluster_metadata(client, settings, timeout_s).topics
    missing = [topic for topic in topics if topic not in existing]
    if missing:
        raise UnknownTopic(
            f"there is no topic {', '.join(missing)} at {settings.kafka_bootstrap_servers}:"
            " make it, or name others with KAFKA_TOPICS"
        )
    return {topic: existing[topic] for topic in topics}


def retry_while_moving(request: Callable[[], T], timeout_s: float) -> T:
    """Make a request about a group, and repeat it while the group's coordinator moves, for about the timeout. Raises
    KafkaException."""
    limit = time.monotonic() + timeout_s
    while True:
        try:
            return request()
        except KafkaException as raised:
            if raised.args[0].code() not in _COORDINATOR_MOVING or time.monotonic() > limit:
                raise
        time.sleep(_RETRY_INTERVAL_S)


def unreachable(error: KafkaError, settings: Settings) -> KafkaUnreachable:
    """Return an error of the client as an exception whose text says the way out."""
    brokers = settings.kafka_bootstrap_servers
    reason = _ADDRESS_AND_TIMING.sub("", error.str())
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


def _diagnose(settings: Settings, timeout_s: float) -> KafkaError | None:
    """Return the error that keeps this client from the brokers. A failed call does not have it: the client library
    passes it to `error_cb` alone."""
    errors: list[KafkaError] = []
    admin = AdminClient(client_settings(settings) | {"error_cb": errors.append})
    limit = time.monotonic() + timeout_s
    while time.monotonic() < limit and not any(error.code() == KafkaError._ALL_BROKERS_DOWN for error in errors):
        admin.poll(_RETRY_INTERVAL_S)
    causes = [error for error in errors if error.code() != KafkaError._ALL_BROKERS_DOWN]
    return next(filter(_is_permanent, causes), causes[0] if causes else None)


def _is_permanent(error: KafkaError) -> bool:
    """Whether waiting does not help."""
    return error.code() in _UNKNOWN_USER or _UNTRUSTED in error.str()
